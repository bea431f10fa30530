// The threads that answer requests: one per connection being served, started when needed, kept for
// a while. Streams hold their thread, so the bound is the number of connections the server
// promises. Stacks keep their usual size: only what is used of one takes memory, and the library's
// regular expressions use much for a long path.
//
// What comes beyond the bounds waits, then is refused, and in the end dropped; nothing waits
// without a bound:
//
//   threads_max served  <-  waiting_max wait  <-  refusing_max are told so  <-  others are dropped
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <httplib.h>

#include <condition_variable>
#include <deque>
#include <functional>

#include "base/mutex.h"

namespace glm::api {

class ElasticTaskQueue final : public httplib::TaskQueue {
 public:
  struct Limits {
    std::size_t threads_max = 1;
    std::size_t waiting_max = 0;
    std::size_t refusing_max = 0;  // at a time, each on a thread of its own
  };

  // What a task is run for. Every task is run: it owns the connection it closes.
  enum class Admission { serve, refuse, drop };

  explicit ElasticTaskQueue(Limits limits) : limits_(limits) {}
  ~ElasticTaskQueue() override { shutdown(); }

  void enqueue(std::function<void()> task) override;

  // Runs what is queued, then waits for all threads.
  void shutdown() override;

  // Of the task that runs on this thread. The library passes tasks without a word about them.
  static Admission admission();

 private:
  void work();
  void refuse(const std::function<void()>& task);
  static bool add_thread(std::function<void()> body);
  static void run(const std::function<void()>& task, Admission admission);

  const Limits limits_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_ GLM_GUARDED_BY(mutex_);
  std::size_t threads_ GLM_GUARDED_BY(mutex_) = 0;  // that serve
  std::size_t free_ GLM_GUARDED_BY(mutex_) = 0;     // of them, those without a task
  std::size_t refusing_ GLM_GUARDED_BY(mutex_) = 0;
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
};

}  // namespace glm::api
