// Points in time as the daemon writes them and as people read them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace glm {

using WallTime = std::chrono::system_clock::time_point;

// "2026-11-21T09:15:00.123456Z", "2026-11-21T10:15:00+01:00". nullopt for anything else and for
// years that the clock cannot hold.
std::optional<WallTime> parse_rfc3339(std::string_view text);

// Until when a model stays: "4 minutes from now", "Stopping..." when that is past, "Forever" when
// it is more than twenty years away.
std::string format_until(WallTime deadline, WallTime now);

}  // namespace glm
