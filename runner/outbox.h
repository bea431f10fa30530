// The runner's end of the socket for those who write: whole frames, from any thread.
#pragma once

#include "base/mutex.h"
#include "runner/frames.h"

namespace glm::runner {

class Outbox {
 public:
  explicit Outbox(int fd) : fd_(fd) {}

  // Errc::unavailable when the daemon is gone.
  Status send(const Frame& frame) {
    MutexLock lock(mutex_);
    return send_frame(fd_, frame);
  }

 private:
  Mutex mutex_;
  const int fd_;
};

}  // namespace glm::runner
