// Starts the daemon when a command needs it and none runs.
#pragma once

#include <string>

#include "base/result.h"
#include "cmd/cli/client.h"

namespace glm {

// Returns the daemon that answers at the address, after starting it if nobody does and the address
// is on this machine: `glm serve` in a session of its own, its output in
// $GLM_HOME/logs/daemon.log, one line about it on standard error. Of several commands at once one
// starts it and the others wait.
//
// Errc::unavailable when nobody answers elsewhere, or the new daemon does not within 15 s (the
// message ends with the log's last lines); the daemon's own error when it refuses to start;
// Errc::already_exists when something else has the port, or a daemon of another folder than
// GLM_HOME names.
Result<Peer> ensure_daemon(const HostAddress& address);

// Errc::already_exists when GLM_HOME names another folder than the one that this machine's daemon
// at the address serves: its models are not those that are meant.
Status check_home(const HostAddress& address, const Peer& peer);

// The Error for a port that belongs to another program.
Error not_glm(const HostAddress& address, const Peer& peer);

}  // namespace glm
