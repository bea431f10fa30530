// "did you mean …?" for the name of a model that is not here, of those that are.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace glm::modelfiles {

// "; did you mean 'tiny'?", or nothing when no name is near. `here` are names of the index. Another
// tag of the same model is near, however little it is alike.
std::string nearest_model(std::string_view name, std::span<const std::string> here);

}  // namespace glm::modelfiles
