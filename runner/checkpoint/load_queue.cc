#include "runner/checkpoint/load_queue.h"

#include <algorithm>

namespace glm::runner {
namespace {

// Beyond these the memory of a host gives no more.
constexpr unsigned kThreadsMax = 16;

}  // namespace

LoadQueue::LoadQueue(kernels::Ops& ops, std::stop_token stop) : ops_(ops), stop_(std::move(stop)) {
  const unsigned count = std::clamp(std::thread::hardware_concurrency(), 1U, kThreadsMax);
  for (unsigned i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
}

LoadQueue::~LoadQueue() {
  {
    MutexLock lock(mutex_);
    ending_ = true;
    jobs_.clear();
  }
  added_.notify_all();
}

void LoadQueue::add(Job job) {
  {
    MutexLock lock(mutex_);
    if (failure_) return;
    jobs_.push_back(std::move(job));
  }
  added_.notify_one();
}

LoadQueue::Done LoadQueue::done() {
  MutexLock lock(mutex_);
  return done_;
}

bool LoadQueue::idle() const {
  return jobs_.empty() && running_ == 0;
}

Status LoadQueue::wait(const std::function<void(const Done&)>& look) {
  MutexLock lock(mutex_);
  while (!idle()) {
    lock.wait(changed_);
    const Done done = done_;
    lock.unlock();
    look(done);
    lock.lock();
  }
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  if (failure_) return failure_->error;
  return Ok{};
}

void LoadQueue::work() {
  LoadLane lane(ops_);
  LoadTimes counted;
  MutexLock lock(mutex_);
  while (true) {
    while (jobs_.empty() && !ending_) lock.wait(added_);
    if (ending_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    const std::size_t number = begun_++;
    ++running_;
    lock.unlock();
    Status result = stop_.stop_requested()
                        ? Status(make_error(Errc::cancelled, "loading was cancelled"))
                        : job.run(lane);
    job.run = nullptr;  // and with it the memory it held
    const LoadTimes times = lane.times();
    lock.lock();
    --running_;
    if (result.ok()) {
      done_.file_bytes += job.file_bytes;
    } else {
      if (!failure_ || number < failure_->job) failure_ = {number, std::move(result).error()};
      jobs_.clear();
    }
    done_.times +=
        {.read_s = times.read_s - counted.read_s, .upload_s = times.upload_s - counted.upload_s};
    counted = times;
    changed_.notify_one();
  }
}

}  // namespace glm::runner
