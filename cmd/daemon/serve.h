// `glm serve`: the daemon, from its lock file to its last answer.
#pragma once

#include <string>

#include "base/result.h"

namespace glm::daemon {

struct ServeOptions {
  std::string host;  // "127.0.0.1:11435"; empty: GLM_HOST or the default
};

// Serves in the foreground until SIGINT, SIGTERM or POST /api/shutdown. Errc::already_exists when
// the port is taken or another daemon already serves this GLM_HOME.
Status serve(const ServeOptions& options);

}  // namespace glm::daemon
