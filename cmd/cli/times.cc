#include "cmd/cli/times.h"

#include <fmt/format.h>

#include <cstdint>

namespace glm {

std::string format_until(Clock::Wall deadline, Clock::Wall now) {
  if (deadline <= now) return "Stopping...";
  if (deadline - now > std::chrono::hours(24 * 365 * 20)) return "Forever";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(deadline - now).count();
  const auto say = [](std::int64_t count, std::string_view unit) {
    return fmt::format("{} {}{} from now", count, unit, count == 1 ? "" : "s");
  };
  if (seconds < 1) return "now";
  if (seconds < 60) return say(seconds, "second");
  if (seconds < 3600) return say(seconds / 60, "minute");
  if (seconds < 48 * 3600) return say(seconds / 3600, "hour");
  return say(seconds / 86400, "day");
}

}  // namespace glm
