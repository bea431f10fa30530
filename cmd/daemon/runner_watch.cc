#include "cmd/daemon/runner_watch.h"

#include <fmt/format.h>

namespace glm::daemon {

void RunnerWatch::ready(const runner::ReadyFrame& frame, Clock::Steady now) {
  loading_ = false;
  stall_max_ =
      frame.step_ns_max == 0
          ? Duration::max()
          : std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(frame.step_ns_max));
  progressed_at_ = now;
}

std::optional<std::string> RunnerWatch::beat(const runner::BeatFrame& frame, Clock::Steady now) {
  if (!frame.busy || frame.progress != progress_) {
    progress_ = frame.progress;
    progressed_at_ = now;
    return std::nullopt;
  }
  const Duration stalled = now - progressed_at_;
  if (stalled < stall_max_) return std::nullopt;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(stalled).count();
  if (loading_) return fmt::format("the load stood still for {} s", seconds);
  return fmt::format("no step was completed for {} s while there was work", seconds);
}

}  // namespace glm::daemon
