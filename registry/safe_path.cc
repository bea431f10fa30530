#include "registry/safe_path.h"

#include <algorithm>
#include <cctype>
#include <string>

#include "registry/redact.h"

namespace glm::registry {
namespace {

// Length of the UTF-8 sequence at the front; 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (length == 0 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xED && byte(1) >= 0xA0;
  const bool too_large = lead == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

Status check_path(std::string_view path) {
  const auto bad = [&](std::string_view why) {
    return make_error(Errc::corrupt, "the repository lists a file with the name '{}': {}; refused",
                      printable(path.substr(0, 200)), why);
  };
  if (path.empty() || path.size() > 4096) return bad("empty or longer than 4096 bytes");
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t length = utf8_length(rest);
    if (length == 0) return bad("not valid UTF-8");
    const auto c = static_cast<unsigned char>(rest[0]);
    if (c < 0x20 || c == 0x7F) return bad("a control character");
    if (c == '\\' || c == ':') return bad("a backslash or a colon");
    rest.remove_prefix(length);
  }
  std::string_view rest = path;
  while (true) {
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    if (segment.empty()) return bad("an empty segment");
    if (segment == "." || segment == "..") return bad("a '.' or '..' segment");
    if (segment.size() > 255) return bad("a segment longer than 255 bytes");
    if (segment.back() == ' ' || segment.back() == '.') return bad("a segment ends in '.' or ' '");
    if (slash == std::string_view::npos) return Ok{};
    rest.remove_prefix(slash + 1);
  }
}

}  // namespace glm::registry
