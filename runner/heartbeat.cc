#include "runner/heartbeat.h"

namespace glm::runner {

Heartbeat::Heartbeat(Outbox& outbox, std::chrono::milliseconds period)
    : outbox_(outbox), period_(period), thread_([this] { run(); }) {}

Heartbeat::~Heartbeat() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    stopped_.notify_one();
  }
  thread_.join();
}

void Heartbeat::progress(const EngineStats& stats) {
  MutexLock lock(mutex_);
  stats_ = stats;
  ++progress_;
}

void Heartbeat::beat() {
  MutexLock lock(mutex_);
  (void)send();
}

Status Heartbeat::send() {
  return outbox_.send(BeatFrame{.progress = progress_, .busy = busy_, .stats = stats_});
}

void Heartbeat::run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto next = std::chrono::steady_clock::now() + period_;
    while (!stopping_ && lock.wait_until(stopped_, next)) {
    }
    if (!send().ok()) return;  // the reader of the socket ends the process
  }
}

}  // namespace glm::runner
