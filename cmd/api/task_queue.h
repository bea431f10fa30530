// The threads that answer requests: one per connection being served, started when needed, kept
// for a while, at most threads_max. Streams hold their thread, so the bound is the number of
// connections the server promises.
#pragma once

#include <httplib.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <vector>

#include "base/mutex.h"

namespace glm::api {

class ElasticTaskQueue final : public httplib::TaskQueue {
 public:
  explicit ElasticTaskQueue(std::size_t threads_max) : threads_max_(threads_max) {}
  ~ElasticTaskQueue() override { shutdown(); }

  void enqueue(std::function<void()> task) override;

  // Runs what is queued, then waits for all threads.
  void shutdown() override;

 private:
  void work();
  bool add_thread() GLM_REQUIRES(mutex_);
  static void run(const std::function<void()>& task);

  const std::size_t threads_max_;
  Mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_ GLM_GUARDED_BY(mutex_);
  std::size_t threads_ GLM_GUARDED_BY(mutex_) = 0;
  std::size_t idle_ GLM_GUARDED_BY(mutex_) = 0;
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
};

}  // namespace glm::api
