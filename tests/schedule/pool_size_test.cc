#include "runner/schedule/pool_size.h"

#include <gtest/gtest.h>

namespace glm::runner {
namespace {

TEST(PoolPages, AreEnoughForAllWhereMemoryAllows) {
  PoolNeeds needs{.context_max = 1000,
                  .running_max = 8,
                  .page_bytes = 1 << 20,
                  .memory_free_bytes = std::uint64_t{1} << 40};
  EXPECT_EQ(pool_pages(needs).value(), 8 * 16);
  needs.memory_free_bytes = 0;
  EXPECT_EQ(pool_pages(needs).value(), 8 * 16);
}

TEST(PoolPages, LeaveHalfOfTheMemoryToOthers) {
  PoolNeeds needs{.context_max = 1'000'000,
                  .running_max = 8,
                  .page_bytes = 1 << 20,
                  .memory_free_bytes = 201 << 20};
  EXPECT_EQ(pool_pages(needs).value(), 100);
  needs.memory_free_bytes = 2 << 20;
  EXPECT_EQ(pool_pages(needs).value(), 1);
  needs.memory_free_bytes = (2 << 20) - 1;
  EXPECT_EQ(pool_pages(needs).error().message,
            "memory for the context: 2097151 bytes are free, 1048576 of them are kept for other "
            "things, and the rest holds no page of 1048576 bytes (64 tokens)");
}

TEST(PoolPages, TakeMostOfADevice) {
  PoolNeeds needs{.context_max = 1 << 20,
                  .running_max = 64,
                  .page_bytes = 1000,
                  .memory_free_bytes = (512U << 20U) + 90'000,
                  .memory = PoolMemory::of_a_device};
  EXPECT_EQ(pool_pages(needs).value(), 90);
  needs.memory_free_bytes = 400U << 20U;
  EXPECT_EQ(pool_pages(needs).error().code, Errc::exhausted);
}

}  // namespace
}  // namespace glm::runner
