#include "cmd/api/task_queue.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

namespace glm::api {
namespace {

constexpr std::chrono::seconds kIdleMax{10};

}  // namespace

void ElasticTaskQueue::enqueue(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (idle_ <= tasks_.size() && threads_ < threads_max_ && !add_thread() && threads_ == 0) {
    lock.unlock();
    return run(task);  // the system gives no thread at all: then this one
  }
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

// False when the system has no thread to give. shutdown() waits for threads_ to become 0.
bool ElasticTaskQueue::add_thread() {
  try {
    std::thread([this] { work(); }).detach();
  } catch (const std::system_error&) {
    return false;
  }
  ++threads_;  // work() waits for the lock we hold
  return true;
}

// Nothing a task throws may end the daemon.
void ElasticTaskQueue::run(const std::function<void()>& task) {
  try {
    task();
  } catch (const std::exception& failure) {
    spdlog::error("exception while serving a connection what=\"{}\"", failure.what());
  }
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
    run(task);
    task = nullptr;
    lock.lock();
  }
  --threads_;
  changed_.notify_all();
}

}  // namespace glm::api
