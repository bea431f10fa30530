// Frequencies against exact probabilities (chi-square), and the corners of every option.
#include "runner/sample/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace glm::runner {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::int32_t once(SamplingOptions options, std::vector<float> logits, const Ids& history = {}) {
  return Sampler(options).sample(logits, history);
}

// How often each id came in `draws` draws.
std::map<std::int32_t, int> histogram(const SamplingOptions& options,
                                      const std::vector<float>& logits, int draws) {
  Sampler sampler(options);
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    std::vector<float> copy = logits;
    ++counts[sampler.sample(copy, {})];
  }
  return counts;
}

// Expects the histogram to fit the probabilities; ids of probability zero must not occur.
void expect_fits(const std::map<std::int32_t, int>& counts, std::vector<double> weights,
                 int draws) {
  double sum = 0;
  for (const double weight : weights) sum += weight;
  double chi_square = 0;
  int degrees = -1;
  for (std::size_t id = 0; id < weights.size(); ++id) {
    const auto found = counts.find(static_cast<std::int32_t>(id));
    const double got = found == counts.end() ? 0 : found->second;
    const double want = weights[id] / sum * draws;
    if (want == 0) {
      EXPECT_EQ(got, 0) << "id " << id;
      continue;
    }
    chi_square += (got - want) * (got - want) / want;
    ++degrees;
  }
  // Mean `degrees`, variance 2 * degrees; six standard deviations.
  EXPECT_LT(chi_square, degrees + 6 * std::sqrt(2.0 * degrees) + 1e-9);
}

const std::vector<float> kLogits = {2.0F, 1.0F, 0.0F, 1.5F, -1.0F, 0.5F, 1.99F};

std::vector<double> softmax_weights(double temperature) {
  std::vector<double> weights;
  for (const float logit : kLogits) {
    weights.push_back(std::exp(static_cast<double>(logit) / temperature));
  }
  return weights;
}

constexpr int kDraws = 40'000;

TEST(Sampler, DrawsInProportion) {
  for (const float temperature : {0.5F, 1.0F, 2.0F}) {
    expect_fits(histogram({.temperature = temperature, .seed = 11}, kLogits, kDraws),
                softmax_weights(static_cast<double>(temperature)), kDraws);
  }
}

TEST(Sampler, CutsAtTopK) {
  std::vector<double> weights = softmax_weights(1);
  weights[1] = weights[2] = weights[4] = weights[5] = 0;
  expect_fits(histogram({.top_k = 3, .seed = 5}, kLogits, kDraws), weights, kDraws);
  EXPECT_EQ(histogram({.top_k = 1, .seed = 5}, kLogits, 100).at(0), 100);
}

TEST(Sampler, CutsAtTopP) {
  // Sorted: 0 (0.292), 6 (0.289), 3 (0.177), 1 (0.107) ...
  std::vector<double> weights = softmax_weights(1);
  weights[1] = weights[2] = weights[4] = weights[5] = 0;
  expect_fits(histogram({.top_p = 0.7F, .seed = 5}, kLogits, kDraws), weights, kDraws);
  EXPECT_EQ(histogram({.top_p = 0.0F, .seed = 5}, kLogits, 100).at(0), 100);
}

TEST(Sampler, CutsAtMinP) {
  // Relative to the largest: e^-0.5 = 0.61 stays, e^-1 = 0.37 goes.
  std::vector<double> weights = softmax_weights(1);
  weights[1] = weights[2] = weights[4] = weights[5] = 0;
  expect_fits(histogram({.min_p = 0.5F, .seed = 5}, kLogits, kDraws), weights, kDraws);
  EXPECT_EQ(histogram({.min_p = 1.0F, .seed = 5}, kLogits, 100).at(0), 100);
}

// top_p over a vocabulary far larger than the part that is sorted at first.
TEST(Sampler, FindsALongTail) {
  std::vector<float> logits;
  std::vector<double> weights;
  for (int i = 0; i < 1000; ++i) {
    logits.push_back(static_cast<float>(i * 7919 % 1000) * 1e-3F);
    weights.push_back(std::exp(static_cast<double>(logits.back())));
  }
  std::vector<double> sorted = weights;
  std::sort(sorted.rbegin(), sorted.rend());
  double sum = 0;
  for (const double weight : sorted) sum += weight;
  double kept = 0;
  double least = 0;
  for (const double weight : sorted) {
    if (kept >= static_cast<double>(0.9F) * sum) break;
    kept += weight;
    least = weight;
  }
  for (double& weight : weights) {
    if (weight < least) weight = 0;
  }
  expect_fits(histogram({.top_p = 0.9F, .seed = 3}, logits, kDraws / 4), weights, kDraws / 4);
}

TEST(Sampler, TakesTheLowestOfEqualsWhenGreedy) {
  EXPECT_EQ(once({.temperature = 0}, {1, 3, 3, 2}), 1);
  EXPECT_EQ(once({.temperature = 0}, {-kInfinity, -kInfinity}), 0);
  EXPECT_EQ(once({.temperature = kNan}, {1, 3}), 1);
}

TEST(Sampler, NeverReturnsAPaddingRow) {
  EXPECT_EQ(once({.temperature = 0, .vocab_limit = 2}, {1, 2, 9}), 1);
  const auto counts = histogram({.temperature = 100, .seed = 1, .vocab_limit = 3}, kLogits, 2000);
  EXPECT_LT(counts.rbegin()->first, 3);
}

TEST(Sampler, SurvivesNumbersThatAreNone) {
  for (const float temperature : {0.0F, 1.0F, 1e-30F}) {
    const SamplingOptions options{.temperature = temperature, .seed = 1};
    EXPECT_EQ(once(options, {kNan, -kInfinity, 1, kNan}), 2);
    EXPECT_EQ(once(options, {0, kInfinity, kNan, kInfinity}), 1);
    EXPECT_EQ(once(options, {kNan, kNan}), 0);
    EXPECT_EQ(once(options, {-3e38F, 3e38F}), 1);
  }
}

TEST(Sampler, PenalizesWhatWasSaid) {
  // Divides positive logits, multiplies negative ones.
  EXPECT_EQ(once({.temperature = 0, .repeat_penalty = 2}, {3, 2, 1}, {0}), 1);
  EXPECT_EQ(once({.temperature = 0, .repeat_penalty = 2}, {-1, -1.5F}, {0}), 1);
  EXPECT_EQ(once({.temperature = 0, .presence_penalty = 1.5F}, {3, 2}, {0, 0, 0}), 1);
  EXPECT_EQ(once({.temperature = 0, .presence_penalty = 0.5F}, {3, 2}, {0, 0, 0}), 0);
  EXPECT_EQ(once({.temperature = 0, .frequency_penalty = 0.5F}, {3, 2}, {0, 0, 0}), 1);
  EXPECT_EQ(once({.temperature = 0, .frequency_penalty = 0.5F}, {3, 2}, {0}), 0);
}

TEST(Sampler, LooksBackOnlySoFar) {
  SamplingOptions options{.temperature = 0, .presence_penalty = 5, .repeat_last_n = 2};
  EXPECT_EQ(once(options, {3, 2}, {0, 7, 8}), 0);
  EXPECT_EQ(once(options, {3, 2}, {0, 8}), 1);
  options.repeat_last_n = 0;
  EXPECT_EQ(once(options, {3, 2}, {0}), 0);
  options.repeat_last_n = -1;
  EXPECT_EQ(once(options, {3, 2}, {0, 7, 8, 9, -4, 1 << 30}), 1);
}

TEST(Sampler, RepeatsItselfForASeed) {
  const auto run = [](std::uint64_t seed) {
    Sampler sampler({.temperature = 1.5F, .seed = seed});
    Ids ids;
    for (int i = 0; i < 20; ++i) {
      std::vector<float> copy = kLogits;
      ids.push_back(sampler.sample(copy, ids));
    }
    return ids;
  };
  EXPECT_EQ(run(42), run(42));
  EXPECT_NE(run(42), run(43));
  EXPECT_NE(Sampler({}).seed(), Sampler({}).seed());
}

// The numbers of the published generator, so that a seed means the same on every machine.
TEST(Random, GivesTheSameNumbersEverywhere) {
  Random random(42);
  std::uint64_t state = 0;
  const auto reference = [&state] {
    const std::uint64_t old = state;
    state = old * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto shifted = static_cast<std::uint32_t>(((old >> 18U) ^ old) >> 27U);
    const auto turn = static_cast<int>(old >> 59U);
    return std::rotr(shifted, turn);
  };
  reference();
  state += 42;
  reference();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(random.next(), reference());
  for (int i = 0; i < 1000; ++i) {
    const double u = random.uniform();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
  }
}

}  // namespace
}  // namespace glm::runner
