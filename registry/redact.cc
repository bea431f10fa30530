#include "registry/redact.h"

namespace glm::registry {

std::string redact_url(std::string_view url) {
  std::string out(url.substr(0, url.find_first_of("?#")));
  if (out.size() < url.size()) out += "?…";
  const std::size_t scheme = out.find("://");
  if (scheme != std::string::npos) {
    const std::size_t host = scheme + 3;
    const std::size_t at = out.find('@', host);
    if (at != std::string::npos && at < out.find('/', host)) out.erase(host, at + 1 - host);
  }
  return printable(out);
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = c == '\n' || c == '\t' ? ' ' : '?';
  }
  // C1 controls, which are two bytes in UTF-8.
  for (std::size_t i = 0; i + 1 < out.size(); ++i) {
    if (out[i] == '\xC2' && static_cast<unsigned char>(out[i + 1]) < 0xA0) {
      out[i] = out[i + 1] = '?';
    }
  }
  return out;
}

}  // namespace glm::registry
