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

void Heartbeat::run() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    const auto next = std::chrono::steady_clock::now() + period_;
    while (!stopping_ && lock.wait_until(stopped_, next)) {
    }
    const BeatFrame beat{.progress = progress_, .busy = busy_, .stats = stats_};
    lock.unlock();
    const bool told = outbox_.send(beat).ok();
    lock.lock();
    if (!told) return;  // the reader of the socket ends the process
  }
}

}  // namespace glm::runner
