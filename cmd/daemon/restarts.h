// When a model may be loaded again whose runner keeps dying: the first deaths cost nothing, then
// the time between two starts doubles up to a minute. A daemon that starts a runner, which reads
// 20 GB and dies, as often as clients ask, helps nobody.
//
// A death counts when it came early: while loading, or within kEarly of it and before any answer
// was finished. A runner that has answered has shown that it works.
//
// Thread safety: none; the owner locks.
#pragma once

#include <map>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace glm::daemon {

class Restarts {
 public:
  static constexpr std::chrono::seconds kEarly{60};
  static constexpr int kFreeDeaths = 2;
  static constexpr std::chrono::seconds kDelayMax{60};

  void died_early(const std::string& model, std::string reason, Clock::Steady now);
  void works(const std::string& model) { deaths_.erase(model); }

  // Errc::unavailable while it is too early for another start, with how often and of what the last
  // ones died and how long that is so.
  Status check(const std::string& model, Clock::Steady now) const;

 private:
  struct Deaths {
    int count = 0;
    std::string last_reason;
    Clock::Steady not_before;
  };
  std::map<std::string, Deaths> deaths_;
};

}  // namespace glm::daemon
