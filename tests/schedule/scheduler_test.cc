// The scheduler with a device that answers at once or a step later: whatever arrives, is cancelled
// or does not fit, nobody is lost, overtaken for ever or given what belongs to another.
#include "runner/schedule/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>

namespace glm::runner {
namespace {

using Tokens = std::vector<std::int32_t>;

// Steps in flight, and the token that each sequence says next: its length so far.
class Device {
 public:
  Device(Scheduler& scheduler, std::size_t ahead) : scheduler_(scheduler), ahead_(ahead) {}

  // False when there was nothing to do at all.
  bool step(std::int64_t prompt_tokens) {
    const auto work = scheduler_.plan(prompt_tokens);
    if (work.empty() && in_flight_.empty()) return false;
    if (!work.empty()) {
      std::vector<std::uint64_t> samples;
      std::int64_t tokens = 0;
      std::set<std::uint64_t> ids;
      for (const Work& w : work) {
        EXPECT_TRUE(ids.insert(w.id).second);
        EXPECT_EQ(w.tokens.size(), w.continues ? 1u : w.tokens.size());
        const auto count = static_cast<std::int64_t>(w.tokens.size());
        EXPECT_LE(w.cache->pages_missing(count), 0);
        w.cache->append(count);
        tokens += count;
        if (w.samples) samples.push_back(w.id);
        last_step_[w.id] = count;
      }
      tokens_ += tokens;
      longest_ = std::max(longest_, tokens);
      scheduler_.ran();
      in_flight_.push_back(samples);
    }
    while (in_flight_.size() > (work.empty() ? 0 : ahead_)) collect();
    const Status integrity = scheduler_.check_integrity();
    EXPECT_TRUE(integrity.ok()) << integrity.error().message;
    return true;
  }

  std::int64_t tokens_ = 0;
  std::int64_t longest_ = 0;
  std::map<std::uint64_t, std::int64_t> last_step_;
  std::map<std::uint64_t, std::int64_t> said_;
  std::map<std::uint64_t, std::int64_t> tokens_max_;
  std::vector<std::uint64_t> finished_;  // in order

 private:
  void collect() {
    for (const std::uint64_t id : in_flight_.front()) {
      if (!scheduler_.take(id, 7)) continue;
      if (++said_[id] < tokens_max_[id]) continue;
      EXPECT_TRUE(scheduler_.remove(id));
      finished_.push_back(id);
    }
    in_flight_.pop_front();
  }

  Scheduler& scheduler_;
  const std::size_t ahead_;
  std::deque<std::vector<std::uint64_t>> in_flight_;
};

NewSequence sequence(std::uint64_t id, std::size_t prompt, std::int64_t tokens_max,
                     std::int32_t priority = 0) {
  return {.id = id,
          .prompt = Tokens(prompt, static_cast<std::int32_t>(id)),
          .tokens_max = tokens_max,
          .priority = priority};
}

SchedulerLimits limits() {
  return {.running_max = 8,
          .waiting_max = 1000,
          .step_tokens_max = 140,
          .prompt_unit_tokens = 64,
          .prompt_piece_tokens = 128,
          .context_max = 640};
}

TEST(Scheduler, LetsThoseWhoSpeakGoFirstAndCutsPromptsAtUnits) {
  KvPool pool(40);
  Scheduler scheduler(pool, nullptr, limits());
  Device device(scheduler, 0);
  device.tokens_max_ = {{1, 9}, {2, 9}, {3, 9}};
  ASSERT_TRUE(scheduler.add(sequence(1, 10, 9)).ok());
  ASSERT_TRUE(device.step(128));
  ASSERT_TRUE(scheduler.add(sequence(2, 200, 9)).ok());
  ASSERT_TRUE(scheduler.add(sequence(3, 30, 9)).ok());
  auto work = scheduler.plan(128);
  ASSERT_EQ(work.size(), 2u);
  EXPECT_EQ(work[0].id, 1u);
  EXPECT_EQ(work[0].tokens.size(), 1u);
  EXPECT_TRUE(work[0].samples);
  EXPECT_EQ(work[1].tokens.size(), 128u);
  EXPECT_FALSE(work[1].samples);
  for (const Work& w : work) w.cache->append(static_cast<std::int64_t>(w.tokens.size()));
  scheduler.ran();
  scheduler.take(1, 5);
  work = scheduler.plan(70);
  ASSERT_EQ(work.size(), 2u);
  EXPECT_EQ(work[1].tokens.size(), 64u) << "72 are left, 64 reach to a place to cut";
  EXPECT_FALSE(work[1].samples);
  work = scheduler.plan(110);
  ASSERT_EQ(work.size(), 3u);
  EXPECT_EQ(work[1].tokens.size(), 72u);
  EXPECT_TRUE(work[1].samples);
  EXPECT_EQ(work[2].id, 3u);
  EXPECT_EQ(work[2].tokens.size(), 30u);
  EXPECT_TRUE(work[2].samples);
}

TEST(Scheduler, TakesTheMoreUrgentFirstAndPutsTheLessUrgentBack) {
  KvPool pool(4);
  SchedulerLimits some = limits();
  some.context_max = 256;
  Scheduler scheduler(pool, nullptr, some);
  Device device(scheduler, 1);
  device.tokens_max_ = {{1, 120}, {2, 120}, {3, 120}};
  ASSERT_TRUE(scheduler.add(sequence(1, 60, 120, 5)).ok());
  ASSERT_TRUE(scheduler.add(sequence(2, 60, 120, 0)).ok());
  ASSERT_TRUE(scheduler.add(sequence(3, 60, 120, 5)).ok());
  while (device.step(64)) continue;
  EXPECT_EQ(device.finished_, (std::vector<std::uint64_t>{2, 1, 3}));
  EXPECT_GT(scheduler.stats().preemptions, 0u);
}

TEST(Scheduler, RefusesWhatDoesNotFit) {
  KvPool pool(10);
  SchedulerLimits some = limits();
  some.waiting_max = 1;
  Scheduler scheduler(pool, nullptr, some);
  EXPECT_EQ(scheduler.add(sequence(1, 640, 1)).error().message,
            "the prompt has 640 tokens, the context holds 640 with at least one for the answer");
  EXPECT_EQ(scheduler.add(sequence(1, 0, 1)).error().code, Errc::invalid_argument);
  EXPECT_TRUE(scheduler.add(sequence(1, 639, 1)).ok());
  EXPECT_EQ(scheduler.add(sequence(2, 5, 1)).error().message,
            "1 requests are waiting already; try again later");
  EXPECT_FALSE(scheduler.remove(2));
  EXPECT_TRUE(scheduler.remove(1));
  EXPECT_TRUE(scheduler.empty());
}

TEST(Scheduler, PlansNoTokenBeyondTheLastThatIsOnTheWay) {
  KvPool pool(10);
  Scheduler scheduler(pool, nullptr, limits());
  ASSERT_TRUE(scheduler.add(sequence(1, 10, 2)).ok());
  auto work = scheduler.plan(64);
  ASSERT_EQ(work.size(), 1u);
  work[0].cache->append(10);
  scheduler.ran();
  work = scheduler.plan(64);
  ASSERT_EQ(work.size(), 1u);
  EXPECT_TRUE(work[0].continues);
  work[0].cache->append(1);
  scheduler.ran();
  EXPECT_TRUE(scheduler.plan(64).empty()) << "both tokens are on the way";
  EXPECT_TRUE(scheduler.take(1, 3));
  EXPECT_TRUE(scheduler.take(1, 4));
  EXPECT_EQ(scheduler.generated(1), 2);
  EXPECT_EQ(scheduler.tokens(1).back(), 4);
  EXPECT_TRUE(scheduler.remove(1));
  EXPECT_FALSE(scheduler.take(1, 4)) << "nobody is there any more";
  EXPECT_EQ(pool.pages_free(), 10);
}

TEST(Scheduler, LetsFollowersUseWhatTheFirstIsStillComputing) {
  KvPool pool(40);
  PrefixCache prefixes(pool, 3);
  Scheduler scheduler(pool, &prefixes, limits());
  Device device(scheduler, 1);
  Tokens shared(300);
  for (std::size_t i = 0; i < shared.size(); ++i) shared[i] = static_cast<std::int32_t>(i);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    Tokens prompt = shared;
    prompt.push_back(static_cast<std::int32_t>(1000 + id));
    ASSERT_TRUE(scheduler.add({.id = id, .prompt = prompt, .tokens_max = 2}).ok());
    device.tokens_max_[id] = 2;
  }
  std::map<std::uint64_t, std::int64_t> cached;
  while (device.step(128)) {
    for (std::uint64_t id = 1; id <= 3; ++id) {
      if (std::count(device.finished_.begin(), device.finished_.end(), id) == 0) {
        cached[id] = scheduler.prompt_cached(id);
      }
    }
  }
  EXPECT_EQ(cached[1], 0);
  EXPECT_EQ(cached[2], 256);
  EXPECT_EQ(cached[3], 256);
  EXPECT_EQ(scheduler.stats().prefix_hits, 512u);
  EXPECT_EQ(scheduler.stats().prefix_queries, 903u);
  EXPECT_EQ(device.tokens_, 301 + 2 * 45 + 3) << "each prompt, less what was found, and a token";
}

struct Chaos {
  const char* name;
  bool prefixes;
  std::size_t ahead;
  std::int64_t pages;
};

class SchedulerChaos : public testing::TestWithParam<Chaos> {};

// Random arrivals, priorities, cancels and tiny memory.
TEST_P(SchedulerChaos, FinishesEveryoneWhoIsNotCancelledAndLeavesEveryPageFree) {
  const unsigned seed = std::random_device{}();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  KvPool pool(GetParam().pages);
  std::optional<PrefixCache> prefixes;
  if (GetParam().prefixes) prefixes.emplace(pool, random());
  Scheduler scheduler(pool, prefixes ? &*prefixes : nullptr, limits());
  Device device(scheduler, GetParam().ahead);
  std::set<std::uint64_t> open;
  std::size_t cancelled = 0;
  for (std::uint64_t id = 1; id <= 10'000; ++id) {
    Tokens prompt(1 + random() % 300);
    for (std::size_t i = 0; i < prompt.size(); ++i) {
      prompt[i] = static_cast<std::int32_t>(i / 64 + (i < 128 ? 0 : random() % 2));
    }
    const auto tokens_max = 1 + static_cast<std::int64_t>(random() % 200);
    const auto priority = static_cast<std::int32_t>(random() % 3);
    device.tokens_max_[id] = tokens_max;
    if (scheduler.add({.id = id, .prompt = prompt, .tokens_max = tokens_max, .priority = priority})
            .ok()) {
      open.insert(id);
    }
    for (auto steps = random() % 40; steps > 0; --steps) {
      device.step(64 + static_cast<std::int64_t>(random() % 80));
    }
    if (random() % 4 == 0 && !open.empty()) {
      const auto victim =
          std::next(open.begin(), static_cast<std::ptrdiff_t>(random() % open.size()));
      if (random() % 8 == 0 ? scheduler.remove_spoiled(*victim) : scheduler.remove(*victim)) {
        ++cancelled;
        open.erase(victim);
      }
    }
    for (const std::uint64_t done : device.finished_) open.erase(done);
    device.finished_.clear();
    if (HasFailure()) return;
  }
  while (device.step(64)) continue;
  for (const std::uint64_t done : device.finished_) {
    open.erase(done);
    EXPECT_EQ(device.said_[done], device.tokens_max_[done]);
  }
  EXPECT_TRUE(open.empty()) << open.size() << " were never finished";
  EXPECT_TRUE(scheduler.empty());
  EXPECT_EQ(pool.pages_available(), pool.pages());
  EXPECT_LE(device.longest_, 140);
  EXPECT_GT(cancelled, 500u);
  EXPECT_GT(scheduler.stats().preemptions, 0u);
  EXPECT_EQ(scheduler.stats().prefix_hits > 0, GetParam().prefixes);
}

INSTANTIATE_TEST_SUITE_P(All, SchedulerChaos,
                         testing::Values(Chaos{"at_once", false, 0, 12},
                                         Chaos{"a_step_ahead", false, 1, 12},
                                         Chaos{"two_steps_ahead", false, 2, 10},
                                         Chaos{"prefixes", true, 0, 10},
                                         Chaos{"prefixes_a_step_ahead", true, 1, 10}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glm::runner
