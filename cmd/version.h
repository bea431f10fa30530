// The program's version, from the one place that has it (CMakeLists.txt).
#pragma once

#include <string_view>

namespace glm {

inline constexpr std::string_view kVersion = GLM_VERSION;

}  // namespace glm
