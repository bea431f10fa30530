// Against values worked out by hand, by numpy's definitions of percentiles and deviation.
#include "cmd/cli/bench_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace glm::bench {
namespace {

using std::chrono::milliseconds;

TEST(Distribution, InterpolatesBetweenTwoValues) {
  const Distribution four = distribution({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(four.mean, 2.5);
  EXPECT_DOUBLE_EQ(four.median, 2.5);
  EXPECT_DOUBLE_EQ(four.deviation, std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(four.p99, 3.97);  // place 2.97: 3 + 0.97 * (4 - 3)
  const Distribution five = distribution({10, 20, 40, 80, 160});
  EXPECT_DOUBLE_EQ(five.median, 40);
  EXPECT_DOUBLE_EQ(five.p99, 156.8);  // place 3.96: 80 + 0.96 * 80
}

TEST(Distribution, TakesOneValueAndNone) {
  const Distribution one = distribution({7});
  EXPECT_EQ(one.mean, 7);
  EXPECT_EQ(one.median, 7);
  EXPECT_EQ(one.p99, 7);
  EXPECT_EQ(one.deviation, 0);
  const Distribution none = distribution({});
  EXPECT_EQ(none.mean, 0);
  EXPECT_EQ(none.median, 0);
  EXPECT_EQ(none.p99, 0);
}

// Of 1 … 101 the percentiles are the numbers themselves, in whatever order they come.
TEST(Distribution, DoesNotDependOnTheOrder) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::vector<double> values;
  for (int i = 1; i <= 101; ++i) values.push_back(i);
  std::shuffle(values.begin(), values.end(), std::mt19937(seed));
  const Distribution result = distribution(values);
  EXPECT_DOUBLE_EQ(result.median, 51);
  EXPECT_DOUBLE_EQ(result.p99, 100);
}

RequestRecord record(int begun, int first, std::vector<int> gaps, std::int64_t tokens) {
  RequestRecord r;
  r.begun = Clock::Steady(milliseconds(begun));
  r.first = Clock::Steady(milliseconds(first));
  r.last = r.first;
  for (const int gap : gaps) {
    r.gaps.push_back(milliseconds(gap));
    r.last += milliseconds(gap);
  }
  r.prompt_tokens = 100;
  r.output_tokens = tokens;
  return r;
}

TEST(Summarize, FollowsTheDefinitions) {
  LoadRun run;
  run.begun = Clock::Steady(milliseconds(0));
  run.ended = Clock::Steady(milliseconds(2000));
  run.records.push_back(record(0, 100, {10, 20, 30}, 4));  // TPOT 20
  run.records.push_back(record(50, 350, {40, 40}, 9));     // more tokens than arrivals: 80 / 8
  run.records.push_back(record(100, 600, {}, 1));          // one token: no TPOT
  RequestRecord failed = record(0, 1, {1000}, 50);
  failed.failure = "status 503: busy";
  run.records.push_back(failed);
  const LevelResult result = summarize(8, run);
  EXPECT_EQ(result.concurrency, 8u);
  EXPECT_EQ(result.completed, 3);
  EXPECT_EQ(result.failed, 1);
  EXPECT_EQ(result.first_failure, "status 503: busy");
  EXPECT_EQ(result.input_tokens, 300);
  EXPECT_EQ(result.output_tokens, 14);
  EXPECT_DOUBLE_EQ(result.duration_s, 2);
  EXPECT_DOUBLE_EQ(result.requests_per_s(), 1.5);
  EXPECT_DOUBLE_EQ(result.output_tokens_per_s(), 7);
  EXPECT_DOUBLE_EQ(result.total_tokens_per_s(), 157);
  EXPECT_DOUBLE_EQ(result.ttft_ms.median, 300);  // of 100, 300, 500
  EXPECT_DOUBLE_EQ(result.ttft_ms.mean, 300);
  EXPECT_DOUBLE_EQ(result.tpot_ms.median, 15);  // of 10, 20
  EXPECT_DOUBLE_EQ(result.itl_ms.median, 30);   // of 10, 20, 30, 40, 40
  EXPECT_DOUBLE_EQ(result.itl_ms.mean, 28);
  EXPECT_DOUBLE_EQ(result.e2el_ms.median, 380);  // of 160, 380, 500
}

TEST(Summarize, OfFailuresAloneIsZero) {
  LoadRun run;
  run.records.resize(3);
  for (RequestRecord& r : run.records) r.failure = "no";
  const LevelResult result = summarize(1, run);
  EXPECT_EQ(result.failed, 3);
  EXPECT_EQ(result.output_tokens_per_s(), 0);
  EXPECT_EQ(result.ttft_ms.p99, 0);
}

}  // namespace
}  // namespace glm::bench
