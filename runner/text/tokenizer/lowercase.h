// Lower case without regard to language or context.
#pragma once

#include <string>
#include <string_view>

namespace glm::runner::tokenizing {

std::string to_lowercase(std::string_view text);

}  // namespace glm::runner::tokenizing
