// Pulling with something to see; `glm pull` and `glm run` share it.
#pragma once

#include <string>

#include "base/result.h"
#include "cmd/cli/cli.h"

namespace glm {

// Progress goes to standard error; Format::json prints the daemon's lines to standard output. The
// error does not say yet what was attempted.
Status pull_model(Client& client, const std::string& model, Format format);

}  // namespace glm
