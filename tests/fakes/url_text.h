// The text of URLs: percent-encoding, path segments, queries.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace glm::fakes {

std::string percent_encode(std::string_view text);  // all but A-Za-z0-9-._~
std::string percent_decode(std::string_view text);  // what is no escape stays
std::string encode_path(std::string_view path);     // each segment; '/' stays
std::string lower_case(std::string_view text);

struct Target {
  std::vector<std::string> segments;  // decoded
  std::map<std::string, std::string> query;
  std::string query_text;  // with its '?', or empty
};
Target parse_target(std::string_view target);

// The segments from `first` on, joined by '/'.
std::string join_from(const std::vector<std::string>& segments, std::size_t first);

}  // namespace glm::fakes
