#include "kernels/cpu/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace glm::kernels::cpu {
namespace {

// Below this a loop is over before a sleeping thread has woken up.
constexpr std::int64_t kCostWorthSharing = 100'000;

}  // namespace

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = static_cast<int>(std::thread::hardware_concurrency());
  threads = std::clamp(threads, 1, 256);
  workers_.reserve(static_cast<std::size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  ++loops_;
  loops_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_ranges() {
  for (;;) {
    const std::int64_t first = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (first >= count_) return;
    (*body_)(first, std::min(first + grain_, count_));
  }
}

void ThreadPool::work() {
  std::uint32_t seen = 0;
  while (!stopping_) {
    loops_.wait(seen);
    seen = loops_;
    std::uint32_t gate = gate_;
    while ((gate & kOpen) != 0) {
      if (!gate_.compare_exchange_weak(gate, gate + 1)) continue;
      run_ranges();
      if (gate_.fetch_sub(1) == 1) gate_.notify_one();  // shut, and the last one out
      break;
    }
  }
}

void ThreadPool::for_ranges(std::int64_t count, std::int64_t grain, std::int64_t cost,
                            const Body& body) {
  GLM_CHECK(grain >= 1);
  if (count <= 0) return;
  if (workers_.empty() || count <= grain || cost < kCostWorthSharing) return body(0, count);
  body_ = &body;
  count_ = count;
  grain_ = grain;
  next_ = 0;
  gate_ = kOpen;
  ++loops_;
  loops_.notify_all();
  run_ranges();
  std::uint32_t inside = gate_.fetch_and(~kOpen) & ~kOpen;
  while (inside != 0) {
    gate_.wait(inside);
    inside = gate_;
  }
}

}  // namespace glm::kernels::cpu
