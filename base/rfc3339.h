// Points in time as text: what rfc3339() of base/clock.h writes, and what others write.
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace glm {

// "2026-11-21T09:15:00.123456Z", "2026-11-21T10:15:00+01:00". nullopt for anything else and for
// years that the clock cannot hold.
std::optional<Clock::Wall> parse_rfc3339(std::string_view text);

}  // namespace glm
