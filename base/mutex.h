// A mutex that Clang's thread-safety analysis understands (libstdc++'s own is not annotated).
#pragma once

#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define GLM_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define GLM_THREAD_ANNOTATION(x)
#endif

#define GLM_GUARDED_BY(x) GLM_THREAD_ANNOTATION(guarded_by(x))
#define GLM_REQUIRES(...) GLM_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define GLM_EXCLUDES(...) GLM_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))

namespace glm {

class GLM_THREAD_ANNOTATION(capability("mutex")) Mutex {
 public:
  void lock() GLM_THREAD_ANNOTATION(acquire_capability()) { mutex_.lock(); }
  void unlock() GLM_THREAD_ANNOTATION(release_capability()) { mutex_.unlock(); }

 private:
  friend class MutexLock;
  friend class MutexUnlock;
  std::mutex mutex_;
};

// Holds a Mutex for a scope, and can wait on a condition meanwhile.
class GLM_THREAD_ANNOTATION(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) GLM_THREAD_ANNOTATION(acquire_capability(mutex))
      : lock_(mutex.mutex_) {}
  ~MutexLock() GLM_THREAD_ANNOTATION(release_capability()) = default;
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void wait(std::condition_variable& condition) { condition.wait(lock_); }
  void unlock() GLM_THREAD_ANNOTATION(release_capability()) { lock_.unlock(); }
  void lock() GLM_THREAD_ANNOTATION(acquire_capability()) { lock_.lock(); }

  // False when the deadline passed first.
  template <typename Deadline>
  bool wait_until(std::condition_variable& condition, Deadline deadline) {
    return condition.wait_until(lock_, deadline) == std::cv_status::no_timeout;
  }

 private:
  std::unique_lock<std::mutex> lock_;
};

// Gives a Mutex that is held back for a scope, also when the scope ends by an exception.
class GLM_THREAD_ANNOTATION(scoped_lockable) MutexUnlock {
 public:
  explicit MutexUnlock(Mutex& mutex) GLM_THREAD_ANNOTATION(release_capability(mutex))
      : mutex_(mutex.mutex_) {
    mutex_.unlock();
  }
  ~MutexUnlock() GLM_THREAD_ANNOTATION(release_capability()) { mutex_.lock(); }
  MutexUnlock(const MutexUnlock&) = delete;
  MutexUnlock& operator=(const MutexUnlock&) = delete;

 private:
  std::mutex& mutex_;
};

}  // namespace glm
