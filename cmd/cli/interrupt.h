// Ctrl-C as something a blocking call can be ended by.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "base/fd.h"

namespace glm {

// While it lives, SIGINT does not end the program but calls `stop` (on a thread of its own, again
// and again until the scope ends: the call it is to end may only just be beginning). What SIGINT
// did before is put back. One at a time.
class InterruptScope {
 public:
  explicit InterruptScope(std::function<void()> stop);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  bool interrupted() const { return interrupted_.load(); }

 private:
  void watch();

  std::function<void()> stop_;
  Fd read_, write_;
  std::atomic<bool> interrupted_{false};
  void (*before_)(int);
  std::thread watcher_;
};

}  // namespace glm
