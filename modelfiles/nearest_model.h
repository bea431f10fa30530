// "did you mean …?" for the name of a model that is not here, of those that are.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace glm::modelfiles {

// "; did you mean 'tiny'?", or nothing when no name is near. `here` are full names,
// the first of equally near ones wins. Another tag of the same model is near, however little it is
// alike, and so is a model whose name without its tag is.
std::string nearest_model(std::string_view name, std::span<const std::string> here);

}  // namespace glm::modelfiles
