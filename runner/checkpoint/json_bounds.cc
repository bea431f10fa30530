#include "runner/checkpoint/json_bounds.h"

namespace glm::runner {

Status check_json_bounds(std::string_view text, const JsonBounds& bounds) {
  std::size_t depth = 0;
  std::size_t values = 1;
  for (std::size_t at = 0; at < text.size(); ++at) {
    switch (text[at]) {
      case '"':  // to the end of the string; structure inside it means nothing
        for (++at; at < text.size() && text[at] != '"'; ++at) {
          if (text[at] == '\\') ++at;
        }
        break;
      case '[':
      case '{':
        if (++depth > bounds.depth_max) {
          return make_error(Errc::corrupt, "nested deeper than {} levels", bounds.depth_max);
        }
        ++values;
        break;
      case ']':
      case '}':
        if (depth > 0) --depth;
        break;
      case ',':
        ++values;
        break;
      default:
        break;
    }
    if (values > bounds.values_max) {
      return make_error(Errc::corrupt, "more than {} values", bounds.values_max);
    }
  }
  return Ok{};
}

}  // namespace glm::runner
