// Time that moves only when somebody sleeps or a test says so.
#pragma once

#include "base/clock.h"
#include "base/mutex.h"

namespace glm::fakes {

class ManualClock final : public Clock {
 public:
  Steady now() const override {
    MutexLock lock(mutex_);
    return Steady(elapsed_);
  }
  Wall wall() const override {
    MutexLock lock(mutex_);
    return Wall(std::chrono::duration_cast<Wall::duration>(elapsed_));
  }
  void sleep(std::chrono::milliseconds duration) override {
    MutexLock lock(mutex_);
    elapsed_ += duration;
  }

 private:
  mutable Mutex mutex_;
  Steady::duration elapsed_ GLM_GUARDED_BY(mutex_) = std::chrono::hours(24 * 365 * 50);
};

}  // namespace glm::fakes
