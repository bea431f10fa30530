// How much memory a JSON text may become, found out before it is parsed.
//
// A tree of JSON values takes up to a hundred times the memory of its text ("[[[[…"), and copying
// or printing one recurses as deep as it is nested. So whoever builds a tree from a file asks here
// first. Whether the text is JSON at all is the parser's business.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

struct JsonBounds {
  std::size_t depth_max = 64;
  std::size_t values_max = 250'000;
};

// Errc::corrupt says which bound is exceeded.
Status check_json_bounds(std::string_view text, const JsonBounds& bounds);

}  // namespace glm::runner
