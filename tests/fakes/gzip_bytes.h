// A gzip stream of stored blocks: valid, and no shorter than what it holds.
#pragma once

#include <string>
#include <string_view>

namespace glm::fakes {

std::string gzip_bytes(std::string_view bytes);

}  // namespace glm::fakes
