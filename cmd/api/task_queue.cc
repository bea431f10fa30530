#include "cmd/api/task_queue.h"

#include <chrono>
#include <thread>
#include <utility>

namespace glm::api {
namespace {

constexpr std::chrono::seconds kIdleMax{10};

}  // namespace

void ElasticTaskQueue::enqueue(std::function<void()> task) {
  MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  if (idle_ < tasks_.size() && threads_ < threads_max_) {
    ++threads_;
    std::thread([this] { work(); }).detach();  // shutdown() waits for threads_ to become 0
  }
  changed_.notify_one();
}

void ElasticTaskQueue::shutdown() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  while (threads_ > 0) lock.wait(changed_);
}

void ElasticTaskQueue::work() {
  MutexLock lock(mutex_);
  while (true) {
    if (tasks_.empty() && !stopping_) {
      ++idle_;
      const auto deadline = std::chrono::steady_clock::now() + kIdleMax;
      bool waited_enough = false;
      while (tasks_.empty() && !stopping_ && !waited_enough) {
        waited_enough = !lock.wait_until(changed_, deadline);
      }
      --idle_;
    }
    if (tasks_.empty()) break;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;
    lock.lock();
  }
  --threads_;
  changed_.notify_all();
}

}  // namespace glm::api
