// The outbox of one request: what the runner sent for it and nobody has read yet.
//
// Bounded: a reader that falls kEventsMax events behind loses its request (the runner must never
// wait for a client), and finds a failed event at the end.
//
// Thread safety: push() from the link's thread, wait() from the request's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <optional>

#include "base/mutex.h"
#include "runner/frames.h"

namespace glm::daemon {

class TokenStream {
 public:
  static constexpr std::size_t kEventsMax = 16'384;

  explicit TokenStream(std::uint64_t id) : id_(id) {}

  std::uint64_t id() const { return id_; }

  // False when the reader is too far behind; the caller then cancels the request.
  bool push(runner::RequestEvent event) {
    const bool in_time = put(std::move(event));
    changed_.notify_one();  // without the lock, which the reader wants as soon as it wakes
    return in_time;
  }

  // The next event, or nullopt when the time is over.
  std::optional<runner::RequestEvent> wait(std::chrono::milliseconds time_max) {
    MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + time_max;
    while (events_.empty()) {
      if (!lock.wait_until(changed_, deadline)) return std::nullopt;
    }
    runner::RequestEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  bool put(runner::RequestEvent event) {
    MutexLock lock(mutex_);
    if (closed_) return true;
    const bool last = event.finish != runner::FinishReason::none;
    const bool overflow = events_.size() >= kEventsMax;
    if (overflow) {
      event = {};
      event.id = id_;
      event.finish = runner::FinishReason::failed;
      event.code = Errc::cancelled;
      event.message = "the client read too slowly";
    }
    closed_ = last || overflow;
    events_.push_back(std::move(event));
    return !overflow;
  }

  const std::uint64_t id_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<runner::RequestEvent> events_ GLM_GUARDED_BY(mutex_);
  bool closed_ GLM_GUARDED_BY(mutex_) = false;
};

}  // namespace glm::daemon
