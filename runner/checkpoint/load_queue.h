// The jobs of loading: added by one thread in the order of their claims, done by several.
//
// Jobs are begun in their order, and after a failure none is begun: the error of the earliest that
// failed is the same whatever the threads do.
//
// Thread safety: one thread adds and waits. Jobs run on others and must not touch what it does.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "runner/checkpoint/load_lane.h"

namespace glm::runner {

class LoadQueue {
 public:
  // After `stop` jobs end with Errc::cancelled.
  LoadQueue(kernels::Ops& ops, std::stop_token stop);
  ~LoadQueue();  // what was not begun is dropped
  LoadQueue(const LoadQueue&) = delete;
  LoadQueue& operator=(const LoadQueue&) = delete;

  struct Job {
    std::uint64_t file_bytes = 0;  // that are completed with it
    std::function<Status(LoadLane& lane)> run;
  };
  void add(Job job);

  // Of jobs done. `times` grow with them.
  struct Done {
    std::uint64_t file_bytes = 0;
    LoadTimes times;
  };
  Done done();

  // Until all jobs are done or one has failed; calls `look` now and then with what is done.
  Status wait(const std::function<void(const Done&)>& look);

 private:
  void work();
  bool idle() const GLM_REQUIRES(mutex_);

  kernels::Ops& ops_;
  const std::stop_token stop_;
  Mutex mutex_;
  std::condition_variable added_;
  std::condition_variable changed_;
  std::deque<Job> jobs_ GLM_GUARDED_BY(mutex_);  // not begun
  std::size_t begun_ GLM_GUARDED_BY(mutex_) = 0;
  std::size_t running_ GLM_GUARDED_BY(mutex_) = 0;
  bool ending_ GLM_GUARDED_BY(mutex_) = false;
  struct Failure {
    std::size_t job;
    Error error;
  };
  std::optional<Failure> failure_ GLM_GUARDED_BY(mutex_);  // of the earliest job that failed
  Done done_ GLM_GUARDED_BY(mutex_);
  std::vector<std::jthread> threads_;
};

}  // namespace glm::runner
