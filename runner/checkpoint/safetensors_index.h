// model.safetensors.index.json: which tensor is in which file.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

// Tensor name -> file name. Errc::corrupt for anything but plain names that end in .safetensors.
Result<std::map<std::string, std::string, std::less<>>> parse_safetensors_index(
    std::string_view json);

}  // namespace glm::runner
