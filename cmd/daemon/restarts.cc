#include "cmd/daemon/restarts.h"

#include <algorithm>
#include <utility>

namespace glm::daemon {

void Restarts::died_early(const std::string& model, std::string reason, Clock::Steady now) {
  Deaths& deaths = deaths_[model];
  ++deaths.count;
  deaths.last_reason = std::move(reason);
  std::chrono::seconds delay{0};
  for (int i = kFreeDeaths; i < deaths.count && delay < kDelayMax; ++i) {
    delay = std::clamp(2 * delay, std::chrono::seconds(1), kDelayMax);
  }
  deaths.not_before = now + delay;
}

Status Restarts::check(const std::string& model, Clock::Steady now) const {
  const auto it = deaths_.find(model);
  if (it == deaths_.end() || now >= it->second.not_before) return Ok{};
  const auto left = std::chrono::ceil<std::chrono::seconds>(it->second.not_before - now);
  return make_error(Errc::unavailable,
                    "load {}: its runner died {} times in a row while loading or soon after (last: "
                    "{}); the next start is possible in {} s",
                    model, it->second.count, it->second.last_reason, left.count());
}

}  // namespace glm::daemon
