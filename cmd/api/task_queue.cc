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

thread_local ElasticTaskQueue::Admission admission_here = ElasticTaskQueue::Admission::serve;

}  // namespace

ElasticTaskQueue::Admission ElasticTaskQueue::admission() {
  return admission_here;
}

void ElasticTaskQueue::enqueue(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (tasks_.size() >= free_) {
    if (threads_ < limits_.threads_max && add_thread([this] { work(); })) {
      ++threads_;
      ++free_;
    } else if (threads_ == 0 || tasks_.size() - free_ >= limits_.waiting_max) {
      if (refusing_ < limits_.refusing_max && add_thread([this, task] { refuse(task); })) {
        ++refusing_;
        return;
      }
      lock.unlock();
      return run(task, Admission::drop);
    }
  }
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

// False when the system has no thread to give. Its caller holds the lock, which a body takes before
// it looks at the counts; shutdown() waits until all have ended.
bool ElasticTaskQueue::add_thread(std::function<void()> body) {
  try {
    std::thread(std::move(body)).detach();
  } catch (const std::system_error&) {
    return false;
  }
  return true;
}

// Nothing a task throws may end the daemon.
void ElasticTaskQueue::run(const std::function<void()>& task, Admission admission) {
  admission_here = admission;
  try {
    task();
  } catch (const std::exception& failure) {
    spdlog::error("exception while serving a connection what=\"{}\"", failure.what());
  }
  admission_here = Admission::serve;
}

void ElasticTaskQueue::shutdown() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  while (threads_ + refusing_ > 0) lock.wait(changed_);
}

void ElasticTaskQueue::refuse(const std::function<void()>& task) {
  run(task, Admission::refuse);
  MutexLock lock(mutex_);
  --refusing_;
  changed_.notify_all();
}

void ElasticTaskQueue::work() {
  MutexLock lock(mutex_);
  while (true) {
    const auto deadline = std::chrono::steady_clock::now() + kIdleMax;
    bool waited_enough = false;
    while (tasks_.empty() && !stopping_ && !waited_enough) {
      waited_enough = !lock.wait_until(changed_, deadline);
    }
    if (tasks_.empty()) break;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    --free_;
    lock.unlock();
    run(task, Admission::serve);
    task = nullptr;
    lock.lock();
    ++free_;
  }
  --free_;
  --threads_;
  changed_.notify_all();
}

}  // namespace glm::api
