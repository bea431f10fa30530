// `glm runner --probe`: the hardware of this machine as one line of JSON, an array of HardwareFacts
// (runner/plan/hardware_json.h), GPUs first. A process of its own because looking at a GPU creates
// a context on it.
#pragma once

namespace glm::runner {

// Returns the exit code; an error is one line on standard error.
int probe_main();

}  // namespace glm::runner
