// Text → Modelfile.
#pragma once

#include <string_view>

#include "base/result.h"
#include "modelfiles/modelfile.h"

namespace glm::modelfiles {

// Errc::invalid_argument (or unsupported, for instructions that only other programs know) with a
// message that points:
//
//   pirate.modelfile:2:23: temperature wants a number in [0, 2], got 'warm'
//   PARAMETER temperature warm
//                         ^
//
// file_name is only used for that. Whatever the bytes, it returns; the time is linear in them.
Result<Modelfile> parse(std::string_view text, std::string_view file_name);

}  // namespace glm::modelfiles
