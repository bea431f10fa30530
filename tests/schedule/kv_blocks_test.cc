// Pages are never lost, never held twice by accident, and never given away below what others hold.
#include "runner/schedule/kv_blocks.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace glm::runner {
namespace {

TEST(KvCache, TakesAPageForEvery64TokensAndNoneBefore) {
  KvPool pool(4);
  KvCache cache(pool);
  EXPECT_EQ(pool.pages_free(), 4);
  ASSERT_TRUE(cache.reserve(1).ok());
  cache.append(1);
  EXPECT_EQ(cache.pages().size(), 1u);
  ASSERT_TRUE(cache.reserve(63).ok());
  cache.append(63);
  EXPECT_EQ(cache.pages().size(), 1u);
  EXPECT_EQ(cache.pages_missing(0), 0);
  EXPECT_EQ(cache.pages_missing(1), 1);
  EXPECT_EQ(cache.pages_missing(65), 2);
  ASSERT_TRUE(cache.reserve(1).ok());
  EXPECT_EQ(cache.pages().size(), 2u);
  EXPECT_EQ(cache.length(), 64);
  EXPECT_EQ(pool.pages_free(), 2);
}

TEST(KvCache, ChangesNothingWhenThePoolIsExhausted) {
  KvPool pool(2);
  KvCache cache(pool);
  ASSERT_TRUE(cache.reserve(64).ok());
  cache.append(64);
  const Status status = cache.reserve(65);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::exhausted);
  EXPECT_EQ(status.error().message, "65 more tokens want 2 pages, 1 of 2 are free");
  EXPECT_EQ(cache.pages().size(), 1u);
  EXPECT_EQ(pool.pages_free(), 1);
  EXPECT_TRUE(cache.reserve(64).ok());
}

TEST(KvCache, GivesBackWhatItForgets) {
  KvPool pool(5);
  {
    KvCache cache(pool);
    ASSERT_TRUE(cache.reserve(200).ok());
    cache.append(200);
    cache.truncate(129);
    EXPECT_EQ(cache.pages().size(), 3u);
    cache.truncate(128);
    EXPECT_EQ(cache.pages().size(), 2u);
    KvCache moved = std::move(cache);
    EXPECT_EQ(moved.length(), 128);
    KvCache other(pool);
    ASSERT_TRUE(other.reserve(64).ok());
    EXPECT_EQ(pool.pages_free(), 2);
    other = std::move(moved);
    EXPECT_EQ(pool.pages_free(), 3);
    EXPECT_EQ(other.length(), 128);
  }
  EXPECT_EQ(pool.pages_free(), 5);
  EXPECT_TRUE(pool.check_integrity().ok());
}

TEST(KvPool, KeepsASharedPageUntilItsLastHolderGoes) {
  KvPool pool(1);
  const std::int32_t page = std::move(pool.take()).value();
  pool.share(page);
  EXPECT_EQ(pool.take().error().message, "all 1 pages of the key-value memory are in use");
  pool.give_back(page);
  EXPECT_EQ(pool.pages_free(), 0);
  EXPECT_EQ(pool.holders(page), 1);
  pool.give_back(page);
  EXPECT_EQ(pool.pages_free(), 1);
  EXPECT_TRUE(pool.check_integrity().ok());
}

TEST(KvPool, NeverHandsOutAPageThatIsHeld) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  KvPool pool(23);
  std::vector<KvCache> caches;
  for (int i = 0; i < 9; ++i) caches.emplace_back(pool);
  for (int round = 0; round < 3000; ++round) {
    KvCache& cache = caches[random() % caches.size()];
    const auto tokens = static_cast<std::int64_t>(random() % 300);
    if (random() % 2 == 0) {
      if (cache.reserve(tokens).ok()) cache.append(random() % 4 == 0 ? tokens / 2 : tokens);
    } else {
      cache.truncate(std::max<std::int64_t>(0, cache.length() - tokens));
    }
    std::set<std::int32_t> held;
    std::size_t count = 0;
    for (const KvCache& other : caches) {
      EXPECT_GE(static_cast<std::int64_t>(other.pages().size()), pages_of(other.length()));
      held.insert(other.pages().begin(), other.pages().end());
      count += other.pages().size();
    }
    ASSERT_EQ(held.size(), count);
    ASSERT_EQ(pool.pages_free() + static_cast<std::int64_t>(count), pool.pages());
    ASSERT_TRUE(pool.check_integrity().ok());
  }
}

TEST(KvPoolDeathTest, NoticesAPageGivenBackTwice) {
  KvPool pool(2);
  const std::int32_t page = std::move(pool.take()).value();
  pool.give_back(page);
  EXPECT_DEATH(pool.give_back(page), "holders\\(page\\) > 0");
  EXPECT_DEATH(pool.share(page), "holders\\(page\\) > 0");
}

}  // namespace
}  // namespace glm::runner
