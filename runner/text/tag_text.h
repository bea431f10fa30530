// Looking for tags in text that arrives in pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace glm::runner {

inline constexpr std::string_view kTagSpace = " \t\r\n";

struct FoundTag {
  std::size_t at = std::string_view::npos;  // npos: none
  std::string_view tag;
};

// The tag that begins first. Which one is found does not depend on what follows it: no tag of ours
// is the beginning of another.
inline FoundTag find_tag(std::string_view text, std::span<const std::string_view> tags) {
  FoundTag found;
  for (const std::string_view tag : tags) {
    const std::size_t at = text.find(tag);
    if (at < found.at) found = {at, tag};
  }
  return found;
}

// How long a tail of the text is the beginning of some tag, and no tag yet.
inline std::size_t unfinished_tag(std::string_view text, std::span<const std::string_view> tags) {
  std::size_t longest = 0;
  for (const std::string_view tag : tags) {
    for (std::size_t size = std::min(tag.size() - 1, text.size()); size > longest; --size) {
      if (text.ends_with(tag.substr(0, size))) longest = size;
    }
  }
  return longest;
}

}  // namespace glm::runner
