// The outbox of one question: what the runner sent for its answers and nobody has read yet.
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

struct TokenEvent {
  runner::RequestEvent event;
  std::chrono::steady_clock::time_point at;  // when it came, whenever it is read
};

class TokenStream {
 public:
  static constexpr std::size_t kEventsMax = 16'384;

  // The answers have the ids from first_id on.
  TokenStream(std::uint64_t first_id, std::size_t answers)
      : first_id_(first_id), answers_(answers) {}

  std::size_t answers() const { return answers_; }
  std::uint64_t id(std::size_t answer) const { return first_id_ + answer; }
  std::size_t answer(std::uint64_t id) const { return static_cast<std::size_t>(id - first_id_); }

  // False when the reader is too far behind; the caller then cancels all of its answers.
  bool push(runner::RequestEvent event) {
    const bool in_time = put(std::move(event));
    changed_.notify_one();  // without the lock, which the reader wants as soon as it wakes
    return in_time;
  }

  // The next event, or nullopt when the time is over.
  std::optional<TokenEvent> wait(std::chrono::milliseconds time_max) {
    MutexLock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + time_max;
    while (events_.empty()) {
      if (!lock.wait_until(changed_, deadline)) return std::nullopt;
    }
    TokenEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  bool put(runner::RequestEvent event) {
    const auto now = std::chrono::steady_clock::now();
    MutexLock lock(mutex_);
    if (overflown_) return true;
    overflown_ = events_.size() >= kEventsMax;
    if (overflown_) {
      runner::RequestEvent lost;
      lost.id = event.id;
      lost.finish = runner::FinishReason::failed;
      lost.code = Errc::cancelled;
      lost.message = "the client read too slowly";
      event = std::move(lost);
    }
    events_.push_back({std::move(event), now});
    return !overflown_;
  }

  const std::uint64_t first_id_;
  const std::size_t answers_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<TokenEvent> events_ GLM_GUARDED_BY(mutex_);
  bool overflown_ GLM_GUARDED_BY(mutex_) = false;
};

}  // namespace glm::daemon
