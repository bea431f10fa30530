// A few threads that share one loop at a time.
//
// A step of a model is hundreds of short loops, so handing one out must cost microseconds: threads
// that come late simply find the loop closed and go on waiting; nobody waits for them.
//
// Thread safety: one caller at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace glm::kernels::cpu {

class ThreadPool {
 public:
  // Counts the calling thread: 1 starts none. 0: one per core.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  using Body = std::function<void(std::int64_t first, std::int64_t end)>;

  // Covers [0, count) by calls of `body` on disjoint ranges of at most `grain`, from several
  // threads at once. `cost` estimates the whole loop in multiply-adds; a cheap one runs on this
  // thread alone.
  void for_ranges(std::int64_t count, std::int64_t grain, std::int64_t cost, const Body& body);

 private:
  void work();
  void run_ranges();

  // The loop on offer; written while the gate is shut and nobody is inside.
  const Body* body_ = nullptr;
  std::int64_t count_ = 0;
  std::int64_t grain_ = 1;
  std::atomic<std::int64_t> next_ = 0;

  static constexpr std::uint32_t kOpen = 0x80000000U;
  std::atomic<std::uint32_t> gate_ = 0;   // kOpen, plus the number of workers inside
  std::atomic<std::uint32_t> loops_ = 0;  // counts up with each loop and at the end
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace glm::kernels::cpu
