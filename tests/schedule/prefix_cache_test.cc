// What is kept is found by its whole text, never handed out while somebody writes it, and given up
// in the order in which nobody missed it.
#include "runner/schedule/prefix_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>

namespace glm::runner {
namespace {

using Tokens = std::vector<std::int32_t>;

Tokens text(std::size_t pages, std::int32_t first) {
  Tokens tokens(pages * kPageTokens);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = first + static_cast<std::int32_t>(i);
  return tokens;
}

Tokens joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A sequence the way the scheduler has it.
struct Writer {
  explicit Writer(KvPool& pool) : cache(pool) {}
  void write(PrefixCache& prefixes, const Tokens& tokens) {
    const std::int64_t found = prefixes.match(cursor, tokens);
    prefixes.adopt(cursor, cache, tokens, found);
    const auto rest = static_cast<std::int64_t>(tokens.size()) - cache.length();
    ASSERT_TRUE(cache.reserve(rest).ok());
    cache.append(rest);
    prefixes.remember(cursor, cache, tokens);
    ASSERT_TRUE(prefixes.check_integrity().ok()) << prefixes.check_integrity().error().message;
  }
  void clear() {
    cache.truncate(0);
    cursor = {};
  }
  KvCache cache;
  PrefixCache::Cursor cursor;
};

TEST(PrefixCache, FindsWhatASequenceThatIsGoneHasWritten) {
  KvPool pool(8);
  PrefixCache prefixes(pool, 1);
  const Tokens tokens = text(3, 0);
  {
    Writer writer(pool);
    writer.write(prefixes, joined(tokens, {1, 2, 3}));
    EXPECT_EQ(pool.pages_free(), 4);
  }
  EXPECT_EQ(pool.pages_free(), 5) << "the page that is not full goes, the others stay";
  EXPECT_EQ(pool.pages_available(), 8);
  EXPECT_EQ(prefixes.match({}, tokens), 3 * kPageTokens);
  EXPECT_EQ(prefixes.match({}, joined(text(2, 0), text(1, 999))), 2 * kPageTokens);
  EXPECT_EQ(prefixes.match({}, text(3, 1)), 0);
  EXPECT_EQ(prefixes.match({}, Tokens(tokens.begin() + kPageTokens, tokens.end())), 0)
      << "the same page behind another text holds other rows";
  Writer again(pool);
  again.write(prefixes, tokens);
  EXPECT_EQ(pool.pages_available(), 5);
  EXPECT_EQ(pool.pages_free(), 5) << "nothing was taken anew";
}

TEST(PrefixCache, LetsTwoThatWroteTheSameHoldOnePage) {
  KvPool pool(8);
  PrefixCache prefixes(pool, 1);
  const Tokens tokens = text(2, 5);
  Writer a(pool);
  Writer b(pool);
  for (Writer* writer : {&a, &b}) {  // both before anything is known
    ASSERT_TRUE(writer->cache.reserve(2 * kPageTokens).ok());
    writer->cache.append(2 * kPageTokens);
  }
  EXPECT_EQ(pool.pages_free(), 4);
  prefixes.remember(a.cursor, a.cache, tokens);
  prefixes.remember(b.cursor, b.cache, tokens);
  EXPECT_TRUE(std::equal(a.cache.pages().begin(), a.cache.pages().end(), b.cache.pages().begin()));
  EXPECT_EQ(pool.pages_free(), 6);
  EXPECT_TRUE(prefixes.check_integrity().ok());
}

TEST(PrefixCache, GivesUpWhatNobodyHasWantedForTheLongestAndLeavesFirst) {
  KvPool pool(6);
  PrefixCache prefixes(pool, 1);
  const Tokens old = text(2, 0);
  const Tokens recent = text(2, 1000);
  Writer writer(pool);
  writer.write(prefixes, old);
  writer.clear();
  writer.write(prefixes, recent);
  writer.clear();
  writer.write(prefixes, text(3, 5000));  // two free, one more
  EXPECT_EQ(prefixes.match({}, old), kPageTokens) << "the end goes before the beginning";
  EXPECT_EQ(prefixes.match({}, recent), 2 * kPageTokens);
  Writer user(pool);
  user.write(prefixes, text(1, 0));  // wanted again
  user.clear();
  ASSERT_TRUE(user.cache.reserve(kPageTokens).ok());
  EXPECT_EQ(prefixes.match({}, old), kPageTokens);
  EXPECT_EQ(prefixes.match({}, recent), kPageTokens);
}

TEST(PrefixCache, NeverGivesUpAPageThatIsHeld) {
  KvPool pool(3);
  PrefixCache prefixes(pool, 1);
  Writer writer(pool);
  writer.write(prefixes, text(3, 0));
  EXPECT_EQ(pool.pages_available(), 0);
  KvCache other(pool);
  const Status refused = other.reserve(1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "1 more tokens want 1 pages, 0 of 3 are free");
  writer.clear();
  EXPECT_TRUE(other.reserve(3 * kPageTokens).ok());
  EXPECT_EQ(prefixes.pages(), 0);
}

TEST(PrefixCache, ForgetsWhatIsSpoiledAndNothingThatIsShared) {
  KvPool pool(8);
  PrefixCache prefixes(pool, 1);
  Writer good(pool);
  good.write(prefixes, text(1, 0));
  Writer bad(pool);
  bad.write(prefixes, text(3, 0));
  const PrefixCache::Cursor cursor = bad.cursor;
  bad.clear();
  prefixes.forget(cursor);
  EXPECT_EQ(prefixes.match({}, text(3, 0)), kPageTokens);
  EXPECT_TRUE(prefixes.check_integrity().ok());
}

// Against a map from every beginning that was written to the page it is in, with random texts over
// few tokens so that beginnings are shared, in little memory.
TEST(PrefixCache, HoldsTheRowsItSaysUnderAnyUse) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  KvPool pool(17);
  PrefixCache prefixes(pool, random());
  std::vector<Tokens> rows(17);  // by page: the whole text up to its end, as it was written last
  std::vector<std::unique_ptr<Writer>> writers;
  std::vector<Tokens> texts;
  for (int i = 0; i < 4; ++i) writers.push_back(std::make_unique<Writer>(pool));
  texts.resize(writers.size());
  std::int64_t found_pages = 0;
  for (int round = 0; round < 4000; ++round) {
    const std::size_t which = random() % writers.size();
    Writer& writer = *writers[which];
    if (random() % 3 == 0) {
      writer.clear();
      texts[which].clear();
      ASSERT_TRUE(prefixes.check_integrity().ok());
      continue;
    }
    Tokens more = texts[which];
    for (auto pages = 1 + random() % 3; pages > 0; --pages) {
      more = joined(more, text(1, static_cast<std::int32_t>(random() % 2)));
    }
    const std::int64_t found = prefixes.match(writer.cursor, more);
    prefixes.adopt(writer.cursor, writer.cache, more, found);
    const auto rest = static_cast<std::int64_t>(more.size()) - writer.cache.length();
    if (!writer.cache.reserve(rest).ok()) {
      writer.clear();
      texts[which].clear();
      continue;
    }
    for (std::int64_t page = found / kPageTokens; page < pages_of(found + rest); ++page) {
      const auto index = static_cast<std::size_t>(page);
      const auto length = static_cast<std::ptrdiff_t>((page + 1) * kPageTokens);
      rows[static_cast<std::size_t>(writer.cache.pages()[index])] =
          Tokens(more.begin(), more.begin() + length);
    }
    found_pages += found / kPageTokens;
    writer.cache.append(rest);
    prefixes.remember(writer.cursor, writer.cache, more);
    texts[which] = more;
    const Status integrity = prefixes.check_integrity();
    ASSERT_TRUE(integrity.ok()) << integrity.error().message;
    ASSERT_TRUE(pool.check_integrity().ok());
    for (std::size_t w = 0; w < writers.size(); ++w) {
      const auto pages = writers[w]->cache.pages();
      for (std::size_t page = 0; page < pages.size(); ++page) {
        const auto length = static_cast<std::ptrdiff_t>((page + 1) * kPageTokens);
        ASSERT_EQ(rows[static_cast<std::size_t>(pages[page])],
                  Tokens(texts[w].begin(), texts[w].begin() + length));
      }
    }
  }
  EXPECT_GT(found_pages, 100);
}

}  // namespace
}  // namespace glm::runner
