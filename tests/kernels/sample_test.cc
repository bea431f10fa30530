// The reference against an oracle of its own in float64: bias, penalties, order by sorting, masses
// by plain sums, and the random numbers by a second reading of the paper. Where float32 could round
// either way the oracle allows both. Frequencies are held against exact probabilities.
#include "kernels/ops/sample.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <numeric>

#include "kernels/draw.h"
#include "kernels/ops.h"
#include "tests/kernels/sample_cases.h"

namespace glm::kernels {
namespace {

using namespace cases;  // NOLINT: they belong to this test

// Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", the round function of Philox-4x32.
std::array<std::uint32_t, 4> oracle_philox(std::array<std::uint32_t, 4> x,
                                           std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    if (round > 0) key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
    const auto product = [](std::uint64_t a, std::uint64_t b) {
      return std::pair{static_cast<std::uint32_t>((a * b) >> 32U),
                       static_cast<std::uint32_t>((a * b) & 0xFFFFFFFFU)};
    };
    const auto [high0, low0] = product(0xD2511F53U, x[0]);
    const auto [high1, low1] = product(0xCD9E8D57U, x[2]);
    x = {high1 ^ x[1] ^ key[0], low1, high0 ^ x[3] ^ key[1], low0};
  }
  return x;
}

double oracle_gumbel(const SampleRow& row, std::size_t id) {
  const auto words = oracle_philox(
      {static_cast<std::uint32_t>(id / 4), static_cast<std::uint32_t>(row.position + 1), 0, 0},
      {static_cast<std::uint32_t>(row.seed), static_cast<std::uint32_t>(row.seed >> 32U)});
  const double v = std::min((words[id % 4] + 0.5) * 0x1p-32, 1 - 0x1p-24);
  return -std::log(-std::log1p(-v));
}

struct Oracle {
  Oracle(const SampleCase& all, std::size_t r) : row(all.rows()[r]) {
    const std::vector<float> raw = all.row_logits(r);
    std::map<std::int32_t, double> bias;
    for (std::int32_t i = 0; i < row.bias_count; ++i) {
      const LogitBias& b = all.biases()[static_cast<std::size_t>(row.bias_first + i)];
      bias[b.id] = static_cast<double>(b.bias);
    }
    std::map<std::int32_t, int> times;
    const std::vector<std::int32_t> history = all.history(r);
    for (std::size_t p = 0; p < history.size(); ++p) {
      if (row.repeat_last_n < 0 ||
          history.size() - p <= static_cast<std::size_t>(row.repeat_last_n)) {
        ++times[history[p]];
      }
    }
    for (std::size_t id = 0; id < raw.size(); ++id) {
      const auto key = static_cast<std::int32_t>(id);
      double y = static_cast<double>(raw[id]) + (bias.contains(key) ? bias[key] : 0);
      if (times.contains(key)) {
        const auto penalty = static_cast<double>(row.repeat_penalty);
        y = y > 0 ? y / penalty : y * penalty;
        y -= static_cast<double>(row.presence_penalty) +
             times[key] * static_cast<double>(row.frequency_penalty);
      }
      const bool touched = bias.contains(key) || times.contains(key);
      logits.push_back(std::isnan(y) ? -HUGE_VAL : y);
      // How far float32 arithmetic may be off.
      slack.push_back(touched && std::isfinite(y) ? 1e-6 * (std::abs(y) + 8) : 0);
    }
    top = *std::max_element(logits.begin(), logits.end());
  }

  double temperature() const { return static_cast<double>(row.temperature); }
  double weight(std::size_t id) const { return std::exp((logits[id] - top) / temperature()); }
  bool ranks(std::size_t a, std::size_t b) const {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  }
  // Surely before: whatever was rounded.
  bool surely_ranks(std::size_t a, std::size_t b) const {
    const double both = slack[a] + slack[b];
    return both > 0 ? logits[a] > logits[b] + both : ranks(a, b);
  }

  // Ids by one end of what their logits may be, the largest first, and how much they weigh
  // together.
  struct Ranking {
    Ranking(const Oracle& oracle, double sign) {
      for (std::size_t id = 0; id < oracle.logits.size(); ++id) {
        order.push_back({-(oracle.logits[id] + sign * oracle.slack[id]), id});
      }
      std::sort(order.begin(), order.end());
      for (const auto& [end, id] : order) sums.push_back(sums.back() + oracle.weight(id));
    }
    // Of those before a logit, or equal to it with a lower id.
    std::size_t count_before(double logit, std::size_t id) const {
      return static_cast<std::size_t>(
          std::lower_bound(order.begin(), order.end(), std::pair{-logit, id}) - order.begin());
    }
    std::vector<std::pair<double, std::size_t>> order;
    std::vector<double> sums{0};
  };

  // What the filters leave: 0 surely not, 1 perhaps, 2 surely.
  std::vector<int> kept() const {
    const Ranking low(*this, -1);
    const Ranking nominal(*this, 0);
    const Ranking high(*this, 1);
    std::size_t count = logits.size();
    if (row.top_k > 0) count = std::min(count, static_cast<std::size_t>(row.top_k));
    const double all = nominal.sums[count];
    const double slack_max = *std::max_element(slack.begin(), slack.end());
    // Rounding: of the logits, of the weights, and of what is too small for a whole number.
    const double blur =
        (2e-6 + 4 * slack_max / temperature()) * all + 1e-12 * static_cast<double>(logits.size());
    const double wanted = static_cast<double>(std::max(row.top_p, 0.0F)) * all;
    std::vector<int> kept(logits.size(), 2);
    for (std::size_t id = 0; id < logits.size(); ++id) {
      const std::size_t least = low.count_before(logits[id] + slack[id], id);
      std::size_t most = high.count_before(logits[id] - slack[id], id);
      double most_mass = high.sums[most];
      if (slack[id] > 0) {  // it is among them itself
        --most;
        most_mass -= weight(id);
      }
      int& state = kept[id];
      const auto allow = [&](int at_most) { state = std::min(state, at_most); };
      if (least >= count) allow(0);
      if (most >= count) allow(1);
      if (row.top_p < 1 && least > 0 && low.sums[least] >= wanted + blur) allow(0);
      if (row.top_p < 1 && most > 0 && most_mass >= wanted - blur) allow(1);
      if (row.min_p > 0 && logits[id] != top) {
        const double ratio = weight(id) / static_cast<double>(row.min_p);
        const double near = 1e-4 + 2 * slack_max / temperature();
        if (ratio < 1 - near) allow(0);
        if (ratio < 1 + near) allow(1);
      }
    }
    return kept;
  }

  const SampleRow row;
  std::vector<double> logits;
  std::vector<double> slack;
  double top = 0;
};

void expect_chosen(const Oracle& oracle, std::size_t chosen, const std::string& what) {
  const SampleRow& row = oracle.row;
  ASSERT_LT(chosen, oracle.logits.size()) << what;
  if (!(row.temperature > 0) || !std::isfinite(oracle.top)) {
    for (std::size_t id = 0; id < oracle.logits.size(); ++id) {
      ASSERT_FALSE(oracle.surely_ranks(id, chosen)) << what << ": greedy, " << id << " is better";
    }
    return;
  }
  const std::vector<int> kept = oracle.kept();
  ASSERT_GT(kept[chosen], 0) << what << ": filtered out";
  const auto score = [&](std::size_t id) {
    return oracle.logits[id] / oracle.temperature() + oracle_gumbel(row, id);
  };
  const double best = score(chosen);
  for (std::size_t id = 0; id < oracle.logits.size(); ++id) {
    if (kept[id] < 2) continue;
    const double near = 4e-5 + (oracle.slack[id] + oracle.slack[chosen]) / oracle.temperature() +
                        1e-12 * std::abs(best);
    ASSERT_LE(score(id), best + near) << what << ": " << id << " has the better draw";
  }
}

void expect_logprobs(const SampleRow& row, const std::vector<float>& raw, const SampledRow& got,
                     const std::string& what) {
  if (row.logprobs < 0 || got.finite == 0) {
    EXPECT_EQ(got.top_count, 0) << what;
    return;
  }
  const auto top = static_cast<double>(*std::max_element(raw.begin(), raw.end()));
  double sum = 0;
  for (const float x : raw) sum += std::exp(static_cast<double>(x) - top);
  const auto logprob = [&](std::int32_t id) {
    return static_cast<double>(raw[static_cast<std::size_t>(id)]) - top - std::log(sum);
  };
  const auto near = [](double x) { return 1e-5 + 1e-6 * std::abs(x); };
  EXPECT_NEAR(got.logprob, logprob(got.id), near(logprob(got.id))) << what;
  std::vector<std::int32_t> order(raw.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return raw[static_cast<std::size_t>(a)] > raw[static_cast<std::size_t>(b)];
  });
  ASSERT_EQ(static_cast<std::size_t>(got.top_count),
            std::min(static_cast<std::size_t>(row.logprobs), raw.size()));
  for (std::int32_t i = 0; i < got.top_count; ++i) {
    ASSERT_EQ(got.top_ids[i], order[static_cast<std::size_t>(i)]) << what;
    ASSERT_NEAR(got.top_logprobs[i], logprob(got.top_ids[i]), near(logprob(got.top_ids[i])));
  }
}

// What chi-square exceeds once in a million times: its tail is that of exp(-x / 2).
double far_off(double degrees) {
  return degrees + 6 * std::sqrt(2 * degrees) + 14;
}

class SampleTest : public testing::Test {
 protected:
  SampleTest() {
    std::printf("seed %u\n", seed_);
    engine_.seed(seed_);
  }

  // How often each id comes for a row of these logits, at many positions.
  std::map<std::int32_t, int> histogram(const std::vector<float>& logits, SampleRow settings,
                                        int draws) {
    std::map<std::int32_t, int> counts;
    constexpr int kRows = 1000;
    std::vector<float> many;
    for (int i = 0; i < kRows; ++i) many.insert(many.end(), logits.begin(), logits.end());
    std::vector<SampledRow> out(kRows);
    std::vector<SampleRow> rows(kRows, settings);
    std::vector<std::int32_t> page(kPageTokens);
    const std::vector<std::int32_t> table(1);
    const auto vocab = static_cast<std::int64_t>(logits.size());
    for (int done = 0; done < draws; done += kRows) {
      for (int i = 0; i < kRows; ++i) {
        rows[static_cast<std::size_t>(i)].position = done + i;
        rows[static_cast<std::size_t>(i)].seed = seed_;
      }
      ops_->sample({.out = out.data(),
                    .logits = view(std::span<const float>(many), {kRows, vocab}),
                    .rows = rows.data(),
                    .history = {.pages = view(std::span<std::int32_t>(page), {1, kPageTokens}),
                                .table = view(std::span<const std::int32_t>(table), {1, 1})}});
      for (const SampledRow& row : out) ++counts[row.id];
    }
    return counts;
  }

  const unsigned seed_ = std::random_device{}();
  std::mt19937 engine_;
  std::unique_ptr<Ops> ops_ = make_cpu_ops(2);
};

TEST_F(SampleTest, AgreesWithTheOracleInEverySetting) {
  for (const std::int64_t vocab : {1, 2, 3, 7, 31, 32, 33, 127, 129, 1000, 5000}) {
    for (int repetition = 0; repetition < (vocab < 1000 ? 60 : 8); ++repetition) {
      const SampleCase c(engine_, vocab, 16);
      std::vector<SampledRow> out(16);
      std::vector<std::int32_t> pages = c.pages();
      ops_->sample(c.sample(out, pages));
      std::vector<std::int32_t> want_pages = c.pages();
      for (std::size_t r = 0; r < out.size(); ++r) {
        const SampleRow& row = c.rows()[r];
        const std::string what =
            fmt::format("vocab {} limit {} look {} T {} k {} p {} min_p {} last_n {} biases {}",
                        vocab, row.vocab_limit, static_cast<int>(c.look(r)), row.temperature,
                        row.top_k, row.top_p, row.min_p, row.repeat_last_n, row.bias_count);
        const std::vector<float> raw = c.row_logits(r);
        const bool finite =
            std::all_of(raw.begin(), raw.end(), [](float x) { return std::isfinite(x); });
        EXPECT_EQ(out[r].finite, finite ? 1 : 0) << what;
        expect_chosen(Oracle(c, r), static_cast<std::size_t>(out[r].id), what);
        expect_logprobs(row, raw, out[r], what);
        if (row.next_cell >= 0) want_pages[static_cast<std::size_t>(row.next_cell)] = out[r].id;
        if (HasFatalFailure()) return;
      }
      EXPECT_EQ(pages, want_pages);
    }
  }
}

TEST_F(SampleTest, DrawsInProportion) {
  const std::vector<float> logits = {2.0F, 1.0F, 0.0F, 1.5F, -1.0F, 0.5F, 1.99F};
  struct Setting {
    SampleRow row;
    std::vector<int> stay;
  };
  const std::vector<int> all = {0, 1, 2, 3, 4, 5, 6};
  const Setting settings[] = {{{.temperature = 0.5F}, all},
                              {{.temperature = 1}, all},
                              {{.temperature = 2}, all},
                              {{.temperature = 1, .top_k = 3}, {0, 3, 6}},
                              // Sorted: 0 (0.292), 6 (0.289), 3 (0.177), 1 (0.107) ...
                              {{.temperature = 1, .top_p = 0.7F}, {0, 3, 6}},
                              {{.temperature = 1, .min_p = 0.5F}, {0, 3, 6}}};
  constexpr int kDraws = 40'000;
  for (const Setting& s : settings) {
    std::map<std::int32_t, int> counts = histogram(logits, s.row, kDraws);
    double sum = 0;
    const auto weight = [&](int id) {
      return std::exp(static_cast<double>(logits[static_cast<std::size_t>(id)]) /
                      static_cast<double>(s.row.temperature));
    };
    for (const int id : s.stay) sum += weight(id);
    double chi_square = 0;
    int drawn = 0;
    for (const int id : s.stay) {
      const double want = weight(id) / sum * kDraws;
      chi_square += (counts[id] - want) * (counts[id] - want) / want;
      drawn += counts[id];
    }
    EXPECT_EQ(drawn, kDraws) << "an id came that does not stay";
    EXPECT_LT(chi_square, far_off(static_cast<double>(s.stay.size() - 1)));
  }
}

// Equal chances over a vocabulary: sixteen stretches of it are hit alike.
TEST_F(SampleTest, DrawsEvenlyOverAVocabulary) {
  constexpr int kStretches = 16;
  constexpr int kDraws = 4000;
  std::vector<int> hits(kStretches);
  for (const auto& [id, count] : histogram(std::vector<float>(1600), {.temperature = 1}, kDraws)) {
    hits[static_cast<std::size_t>(id / 100)] += count;
  }
  double chi_square = 0;
  for (const int hit : hits) chi_square += std::pow(hit - kDraws / 16.0, 2) / (kDraws / 16.0);
  EXPECT_LT(chi_square, far_off(15));
}

TEST_F(SampleTest, PenalizesWhatWasSaid) {
  const auto once = [&](std::vector<float> logits, SampleRow row, std::vector<std::int32_t> said) {
    row.position = static_cast<std::int32_t>(said.size()) - 1;
    said.resize(kPageTokens);
    const std::vector<std::int32_t> table(1);
    SampledRow out;
    const auto vocab = static_cast<std::int64_t>(logits.size());
    ops_->sample({.out = &out,
                  .logits = view(std::span<const float>(logits), {1, vocab}),
                  .rows = &row,
                  .history = {.pages = view(std::span<std::int32_t>(said), {1, kPageTokens}),
                              .table = view(std::span<const std::int32_t>(table), {1, 1})}});
    return out.id;
  };
  EXPECT_EQ(once({3, 2, 1}, {.repeat_penalty = 2, .repeat_last_n = 64}, {0}), 1);
  EXPECT_EQ(once({-1, -1.5F}, {.repeat_penalty = 2, .repeat_last_n = 64}, {0}), 1);
  EXPECT_EQ(once({3, 2}, {.presence_penalty = 1.5F, .repeat_last_n = 64}, {0, 0, 0}), 1);
  EXPECT_EQ(once({3, 2}, {.presence_penalty = 0.5F, .repeat_last_n = 64}, {0, 0, 0}), 0);
  EXPECT_EQ(once({3, 2}, {.frequency_penalty = 0.5F, .repeat_last_n = 64}, {0, 0, 0}), 1);
  EXPECT_EQ(once({3, 2}, {.presence_penalty = 5, .repeat_last_n = 2}, {0, 7, 8}), 0);
  EXPECT_EQ(once({3, 2}, {.presence_penalty = 5, .repeat_last_n = 2}, {0, 8}), 1);
  EXPECT_EQ(once({3, 2}, {.presence_penalty = 5, .repeat_last_n = 0}, {0}), 0);
  EXPECT_EQ(once({3, 2}, {.presence_penalty = 5, .repeat_last_n = -1}, {0, 7, 8, 9, -4, 1 << 30}),
            1);
}

TEST_F(SampleTest, TakesTheProductInFrontWithIt) {
  const std::vector<float> x = {1, 2, -3, 1};
  const std::vector<float> weight = {1, 0, 0, 1, 2, 2};  // of three ids
  std::vector<float> logits(6, 100);
  std::vector<std::int32_t> said(2 * kPageTokens);
  const std::vector<std::int32_t> table = {0, 1};
  const std::vector<SampleRow> rows = {{.next_cell = 5}, {.sequence = 1, .next_cell = 70}};
  std::vector<SampledRow> out(2);
  const TensorView results = view(std::span<float>(logits), {2, 3});
  for (const bool may_look : {true, false}) {
    ops_->sample({.out = out.data(),
                  .logits = results,
                  .rows = rows.data(),
                  .history = {.pages = view(std::span<std::int32_t>(said), {2, kPageTokens}),
                              .table = view(std::span<const std::int32_t>(table), {2, 1})},
                  .may_filter = false,
                  .may_look = may_look,
                  .head = {.out = results,
                           .x = view(std::span<const float>(x), {2, 2}),
                           .weight = {.layout = {.format = WeightFormat::f32, .rows = 3, .cols = 2},
                                      .data = weight.data()}}});
    EXPECT_EQ(out[0].id, 2);  // 1, 2, 6
    EXPECT_EQ(out[1].id, 1);  // -3, 1, -4
    EXPECT_EQ(said[5], 2);
    EXPECT_EQ(said[70], 1);
    EXPECT_EQ(out[0].finite, 1);
  }
}

TEST(Draw, KnowsWhatARowWantsOfItsLogits) {
  struct Case {
    SampleRow row;
    bool filters;
    bool looks;
  };
  const std::vector<Case> cases = {
      {{}, false, false},
      {{.temperature = 1}, false, false},
      {{.temperature = 1, .top_k = 5}, true, true},
      {{.temperature = 1, .top_p = 0.95F}, true, true},
      {{.temperature = 1, .min_p = 0.1F}, true, true},
      // Of the most likely token alone nothing is cut off.
      {{.top_k = 5, .top_p = 0.95F, .min_p = 0.1F}, false, false},
      {{.repeat_penalty = 1.1F}, false, false},
      {{.repeat_penalty = 1.1F, .repeat_last_n = 64}, false, true},
      {{.presence_penalty = 1, .repeat_last_n = -1}, false, true},
      {{.frequency_penalty = 1, .repeat_last_n = 1}, false, true},
      {{.repeat_last_n = 64}, false, false},
      {{.bias_count = 1}, false, true},
      {{.logprobs = 0}, false, true},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(draw::filters(cases[i].row), cases[i].filters) << i;
    EXPECT_EQ(draw::looks(cases[i].row), cases[i].looks) << i;
  }
}

// The vectors that come with the authors' library (Random123, kat_vectors).
TEST(Draw, HasThePublishedRandomNumbers) {
  const auto words = [](draw::Words counter, std::uint64_t seed) {
    const draw::Words got = draw::philox(counter, seed);
    return std::vector<std::uint32_t>(std::begin(got.word), std::end(got.word));
  };
  using Want = std::vector<std::uint32_t>;
  EXPECT_EQ(words({{0, 0, 0, 0}}, 0), (Want{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(words({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffffffffffff),
            (Want{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(words({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822),
            (Want{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Draw, HasAccurateFunctions) {
  std::mt19937 engine(std::random_device{}());
  for (int i = 0; i < 100'000; ++i) {
    const float x = -static_cast<float>(engine() >> 8U) * 0x1p-24F * 86;
    EXPECT_NEAR(draw::exp_of(x) / std::exp(static_cast<double>(x)), 1, 3e-7);
    const float y = std::ldexp(1 + static_cast<float>(engine() >> 9U) * 0x1p-23F,
                               static_cast<int>(engine() % 250) - 125);
    const double want = std::log(static_cast<double>(y));
    ASSERT_NEAR(draw::log_of(y), want, 3e-7 * std::abs(want) + 1e-10) << y;
    const auto random = static_cast<std::uint32_t>(engine() >> (engine() % 32));
    const double v = std::min((random + 0.5) * 0x1p-32, 1 - 0x1p-24);
    // Those near to 1, which lose, are as fine as a float is there.
    const double exponential = -std::log1p(-v);
    ASSERT_NEAR(draw::gumbel(random), -std::log(exponential),
                2e-6 + 0x1p-24 / (1 - v) / exponential)
        << random;
  }
  EXPECT_EQ(draw::exp_of(0), 1);
  EXPECT_EQ(draw::exp_of(-1000), 0);
  EXPECT_EQ(draw::log_of(1), 0);
  EXPECT_TRUE(std::isfinite(draw::gumbel(0)));
  EXPECT_TRUE(std::isfinite(draw::gumbel(0xFFFFFFFF)));
}

}  // namespace
}  // namespace glm::kernels
