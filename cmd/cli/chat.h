// A conversation at the terminal.
#pragma once

#include "base/result.h"
#include "cmd/cli/client.h"
#include "cmd/cli/question.h"

namespace glm {

enum class Verbosity { quiet, statistics };

// Reads messages until /bye or Ctrl-D. Ctrl-C ends an answer, never the conversation. What goes
// wrong with one message is said and the conversation goes on.
Status chat(Client& client, Asking asking, Verbosity verbosity);

}  // namespace glm
