// Where a text stops being JSON, and why.
#pragma once

#include <string>
#include <string_view>

namespace glm::api {

// "line 2, column 7: syntax error while parsing object - unexpected string literal", of a text that
// is not JSON. Lines and columns are counted from 1, columns in bytes; the place is the end of the
// word that was not expected.
std::string json_error(std::string_view text);

}  // namespace glm::api
