// Time as a seam: code that waits or stamps takes a Clock, tests pass a ManualClock
// (tests/fakes/manual_clock.h).
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace glm {

class Clock {
 public:
  using Steady = std::chrono::steady_clock::time_point;
  using Wall = std::chrono::system_clock::time_point;

  virtual ~Clock() = default;
  virtual Steady now() const = 0;
  virtual Wall wall() const = 0;
  virtual void sleep(std::chrono::milliseconds duration) = 0;
};

// The machine's own clock; lives for the whole program.
Clock& system_clock();

// "2026-11-21T09:15:00.123456Z" (RFC 3339, UTC, microseconds).
std::string rfc3339(Clock::Wall time);

std::int64_t unix_seconds(Clock::Wall time);

}  // namespace glm
