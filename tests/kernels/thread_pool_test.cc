#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>

#include <vector>

namespace glm::kernels::cpu {
namespace {

constexpr std::int64_t kWorthSharing = 1'000'000'000;

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t count : {0, 1, 2, 7, 31, 32, 33, 1000}) {
      for (const std::int64_t grain : {1, 3, 32}) {
        std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
        pool.for_ranges(count, grain, kWorthSharing, [&](std::int64_t first, std::int64_t end) {
          for (std::int64_t i = first; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
        });
        for (const auto& hit : hits) ASSERT_EQ(hit, 1);
      }
    }
  }
}

TEST(ThreadPool, SeparatesLoopsThatFollowEachOther) {
  ThreadPool pool(4);
  std::vector<std::int64_t> values(64);
  for (std::int64_t round = 0; round < 3000; ++round) {
    pool.for_ranges(64, 4, kWorthSharing, [&](std::int64_t first, std::int64_t end) {
      for (std::int64_t i = first; i < end; ++i) {
        EXPECT_EQ(values[static_cast<std::size_t>(i)], round);
        values[static_cast<std::size_t>(i)] = round + 1;
      }
    });
  }
}

}  // namespace
}  // namespace glm::kernels::cpu
