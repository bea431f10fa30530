// Judges by its beats whether a runner hangs: there is work, and nothing gets done.
// docs/runner_protocol.md has the rules. That nothing comes at all is for the socket to notice.
//
// Thread safety: none; one thread reads the beats.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "runner/frames.h"

namespace glm::daemon {

class RunnerWatch {
 public:
  using Duration = Clock::Steady::duration;

  // `load_stall_max`: how long a load may stand still.
  RunnerWatch(Clock::Steady now, Duration load_stall_max)
      : progressed_at_(now), stall_max_(load_stall_max) {}

  // Loaded: from now on its own bound for a step holds.
  void ready(const runner::ReadyFrame& frame, Clock::Steady now);

  // nullopt while all is well, otherwise what is wrong: "no step was completed for 30 s while there
  // was work".
  std::optional<std::string> beat(const runner::BeatFrame& frame, Clock::Steady now);

 private:
  std::uint64_t progress_ = 0;
  Clock::Steady progressed_at_;
  Duration stall_max_;
  bool loading_ = true;
};

}  // namespace glm::daemon
