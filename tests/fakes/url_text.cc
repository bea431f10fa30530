#include "tests/fakes/url_text.h"

#include <cctype>
#include <cstdlib>

namespace glm::fakes {
namespace {

std::string encode(std::string_view text, std::string_view also_plain) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 128 && (std::isalnum(byte) != 0 ||
                                      std::string_view("-._~").find(c) != std::string_view::npos ||
                                      also_plain.find(c) != std::string_view::npos);
    if (plain) {
      out += c;
    } else {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

std::string percent_encode(std::string_view text) {
  return encode(text, "");
}
std::string encode_path(std::string_view path) {
  return encode(path, "/");
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() &&
                        std::isxdigit(static_cast<unsigned char>(text[i + 1])) != 0 &&
                        std::isxdigit(static_cast<unsigned char>(text[i + 2])) != 0;
    if (escape) {
      out +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

Target parse_target(std::string_view target) {
  Target parsed;
  const std::size_t mark = target.find('?');
  for (const std::string_view part : split(target.substr(0, mark), '/')) {
    if (!part.empty()) parsed.segments.push_back(percent_decode(part));
  }
  if (mark == std::string_view::npos) return parsed;
  parsed.query_text = target.substr(mark);
  for (const std::string_view pair : split(target.substr(mark + 1), '&')) {
    const std::size_t equals = pair.find('=');
    parsed.query[percent_decode(pair.substr(0, equals))] =
        equals == std::string_view::npos ? "" : percent_decode(pair.substr(equals + 1));
  }
  return parsed;
}

std::string join_from(const std::vector<std::string>& segments, std::size_t first) {
  std::string out;
  for (std::size_t i = first; i < segments.size(); ++i) {
    if (i > first) out += '/';
    out += segments[i];
  }
  return out;
}

}  // namespace glm::fakes
