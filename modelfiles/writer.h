// Modelfile → text.
#pragma once

#include <string>

#include "base/result.h"
#include "modelfiles/modelfile.h"

namespace glm::modelfiles {

// Parsing the text gives the same Modelfile again. Errc::invalid_argument for what the language
// cannot say: a value of several lines with """ inside, control bytes, no FROM.
Result<std::string> write(const Modelfile& modelfile);

// Only the PARAMETER part, as `glm show --parameters` and POST /api/show give it:
// "temperature    0.7\nstop    \"<|user|>\"\n".
std::string parameters_text(const Modelfile& modelfile);

}  // namespace glm::modelfiles
