// The runner's sign of life: a small thread that tells the daemon every so often how far the work
// is, whatever the thread that does it is stuck in. The daemon judges (cmd/daemon/runner_watch.h).
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "base/mutex.h"
#include "runner/outbox.h"

namespace glm::runner {

class Heartbeat {
 public:
  // Beats from now on. `outbox` must outlive it.
  explicit Heartbeat(Outbox& outbox, std::chrono::milliseconds period = kBeatPeriod);
  ~Heartbeat();

  // Whether there is work.
  void set_busy(bool busy) { busy_ = busy; }

  // Something was completed: a step, a piece of a load.
  void progress() { ++progress_; }
  void progress(const EngineStats& stats);

  // A beat now, before whatever is sent next: who hears that an answer has ended may end this
  // process, and shall know its counts.
  void beat();

 private:
  void run();
  Status send() GLM_REQUIRES(mutex_);  // beats in the order of what they tell

  Outbox& outbox_;
  const std::chrono::milliseconds period_;
  std::atomic<std::uint64_t> progress_ = 0;
  std::atomic<bool> busy_ = false;
  Mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
  EngineStats stats_ GLM_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace glm::runner
