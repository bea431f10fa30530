// `glm runner`: one process for one loaded model. It owns the device; a fault in it ends this
// process and nothing else. Spoken to over a socket pair in the frames of runner/frames.h.
#pragma once

namespace glm::runner {

// `glm runner --fd N` serves the socket N until its other end closes, `glm runner --probe` is
// probe.h's. Returns the exit code.
int process_main(int argc, char** argv);

}  // namespace glm::runner
