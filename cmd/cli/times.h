// Points in time as people read them.
#pragma once

#include <string>

#include "base/clock.h"

namespace glm {

// Until when a model stays: "4 minutes from now", "Stopping..." when that is past, "Forever" when
// it is more than twenty years away.
std::string format_until(Clock::Wall deadline, Clock::Wall now);

}  // namespace glm
