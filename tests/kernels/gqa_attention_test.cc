// Grouped-query attention and partial rotary embedding of the CPU backend against their formulas in
// double precision. Several sequences at once: paged_attention_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/ops.h"
#include "tests/kernels/paged_cache.h"

namespace glm::kernels {
namespace {

using Floats = std::vector<float>;

double at(const Floats& values, std::int64_t index) {
  return static_cast<double>(values[static_cast<std::size_t>(index)]);
}

struct Shape {
  std::int64_t tokens;
  std::int64_t positions;
  std::int64_t kv_heads;
  std::int64_t group;
  std::int64_t dim;
  std::int64_t v_dim;

  std::int64_t heads() const { return kv_heads * group; }
  std::int64_t row() const { return kv_heads * (dim + v_dim); }
};

class GqaAttentionOp : public testing::Test {
 protected:
  Floats random(std::int64_t count) {
    Floats values(static_cast<std::size_t>(count));
    for (float& value : values) value = static_cast<float>(engine_() >> 8U) * 0x1p-23F - 1.0F;
    return values;
  }

  Floats run(const Shape& s, const Floats& q, const Floats& cache, float scale) {
    Floats out(static_cast<std::size_t>(s.tokens * s.heads() * s.v_dim), NAN);
    PagedCache pages(engine_, s.row(), {s.positions});
    pages.fill(0, cache);
    const StepList list = last_tokens(s.tokens, s.positions);
    ops_->gqa_attention({.out = {out.data(), Dtype::f32, {s.tokens, s.heads(), s.v_dim}},
                         .q = {q.data(), Dtype::f32, {s.tokens, s.heads(), s.dim}},
                         .rows = pages.rows(),
                         .tokens = list.tokens(),
                         .kv_heads = s.kv_heads,
                         .scale = scale});
    return out;
  }

  void expect_formula(const Shape& s) {
    SCOPED_TRACE(fmt::format("seed {}: {} tokens of {}, {}x{} heads of {} and {}", seed_, s.tokens,
                             s.positions, s.kv_heads, s.group, s.dim, s.v_dim));
    const Floats q = random(s.tokens * s.heads() * s.dim);
    const Floats cache = random(s.positions * s.row());
    const double scale = 1 / std::sqrt(static_cast<double>(s.dim));
    const Floats out = run(s, q, cache, static_cast<float>(scale));
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      for (std::int64_t h = 0; h < s.heads(); ++h) {
        const std::int64_t g = h / s.group;
        std::vector<double> p;
        for (std::int64_t j = 0; j < s.positions - s.tokens + t + 1; ++j) {
          double dot = 0;
          for (std::int64_t i = 0; i < s.dim; ++i) {
            dot += at(q, (t * s.heads() + h) * s.dim + i) * at(cache, j * s.row() + g * s.dim + i);
          }
          p.push_back(std::exp(scale * dot));
        }
        double sum = 0;
        for (const double value : p) sum += value;
        for (std::int64_t c = 0; c < s.v_dim; ++c) {
          double want = 0;
          for (std::size_t j = 0; j < p.size(); ++j) {
            const std::int64_t row = static_cast<std::int64_t>(j) * s.row();
            want += p[j] / sum * at(cache, row + s.kv_heads * s.dim + g * s.v_dim + c);
          }
          ASSERT_NEAR(at(out, (t * s.heads() + h) * s.v_dim + c), want, 1e-5);
        }
      }
    }
  }

  const std::uint32_t seed_ = std::random_device{}();
  std::mt19937 engine_{seed_};
  std::unique_ptr<Ops> ops_ = make_cpu_ops(2);
};

TEST_F(GqaAttentionOp, MatchesTheFormulaAtAnyHeadWidth) {
  for (const std::int64_t dim : {1, 2, 7, 31, 32, 33, 127, 128, 129}) {
    expect_formula(
        {.tokens = 3, .positions = 10, .kv_heads = 2, .group = 3, .dim = dim, .v_dim = dim});
    expect_formula(
        {.tokens = 2, .positions = 5, .kv_heads = 1, .group = 2, .dim = 8, .v_dim = dim});
  }
}

TEST_F(GqaAttentionOp, MatchesTheFormulaAtAnyLength) {
  for (const std::int64_t positions : {1, 2, 31, 33, 63, 64, 65, 127, 128, 129, 200}) {
    for (const std::int64_t tokens : {std::int64_t{1}, (positions + 1) / 2, positions}) {
      expect_formula({.tokens = tokens,
                      .positions = positions,
                      .kv_heads = 2,
                      .group = 3,
                      .dim = 10,
                      .v_dim = 10});
    }
  }
}

TEST_F(GqaAttentionOp, MatchesTheFormulaForAnyGroupsOfHeads) {
  for (const std::int64_t kv_heads : {1, 2, 3, 8}) {
    for (const std::int64_t group : {1, 2, 5, 12, 33}) {
      expect_formula({.tokens = 2,
                      .positions = 9,
                      .kv_heads = kv_heads,
                      .group = group,
                      .dim = 18,
                      .v_dim = 18});
    }
  }
}

TEST_F(GqaAttentionOp, DoesNothingForNoTokens) {
  EXPECT_TRUE(run({0, 4, 2, 3, 8, 8}, {}, random(4 * 32), 1).empty());
}

TEST_F(GqaAttentionOp, GivesATokenTheSameBitsInAnyCompanyAndDoesNotSeeTheFuture) {
  const Shape all{.tokens = 5, .positions = 9, .kv_heads = 2, .group = 3, .dim = 19, .v_dim = 19};
  const Floats q = random(all.tokens * all.heads() * all.dim);
  Floats cache = random(all.positions * all.row());
  const Floats together = run(all, q, cache, 0.25F);
  for (std::int64_t t = all.tokens - 1; t >= 0; --t) {
    Shape one = all;
    one.tokens = 1;
    one.positions = all.positions - all.tokens + t + 1;
    const std::int64_t width = all.heads() * all.dim;
    const Floats own(q.begin() + t * width, q.begin() + (t + 1) * width);
    const Floats alone =
        run(one, own, Floats(cache.begin(), cache.begin() + one.positions * all.row()), 0.25F);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + t * width));
    // The last token of what is left is gone for those before it.
    std::fill_n(cache.begin() + (one.positions - 1) * all.row(), all.row(),
                std::numeric_limits<float>::quiet_NaN());
    const Floats after = run(all, q, cache, 0.25F);
    EXPECT_TRUE(std::equal(after.begin(), after.begin() + t * width, together.begin()));
  }
}

TEST_F(GqaAttentionOp, SurvivesScoresFarBeyondExp) {
  const Shape s{.tokens = 1, .positions = 2, .kv_heads = 1, .group = 1, .dim = 1, .v_dim = 1};
  // Keys 300 and -300, values 1 and 2: the first takes all.
  EXPECT_EQ(run(s, {100}, {300, 1, -300, 2}, 1), (Floats{1}));
}

using GqaAttentionOpDeathTest = GqaAttentionOp;

TEST_F(GqaAttentionOpDeathTest, RefusesHeadsThatFormNoGroups) {
  Floats out(3);
  const Floats q(3);
  PagedCache pages(engine_, 4, {1});
  EXPECT_DEATH(ops_->gqa_attention({.out = {out.data(), Dtype::f32, {1, 3, 1}},
                                    .q = {q.data(), Dtype::f32, {1, 3, 1}},
                                    .rows = pages.rows(),
                                    .tokens = last_tokens(1, 1).tokens(),
                                    .kv_heads = 2,
                                    .scale = 1}),
               "heads.value\\(\\) % a.kv_heads == 0");
}

// Half-split and interleaved pairs on the first part of a head; the rest is copied as it is.
TEST(PartialRope, TurnsTheFirstPartAndPassesTheRestThrough) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 engine(seed);
  const auto ops = make_cpu_ops(1);
  const std::vector<std::int32_t> positions = {0, 5, 131071};
  for (const std::int64_t dim : {2, 7, 20, 128}) {
    for (const std::int64_t rotated : {std::int64_t{2}, dim / 4 * 2, dim / 2 * 2}) {
      const std::int64_t half = rotated / 2;
      Floats x(static_cast<std::size_t>(3 * 2 * dim));
      for (float& value : x) value = static_cast<float>(engine() >> 8U) * 0x1p-23F - 1.0F;
      Floats inv_freq;
      for (std::int64_t k = 0; k < half; ++k) {
        inv_freq.push_back(
            static_cast<float>(std::pow(1e6, -static_cast<double>(k) / static_cast<double>(half))));
      }
      for (const RopePairs pairs : {RopePairs::interleaved, RopePairs::half_split}) {
        Floats out(x.size(), NAN);
        const Rope rope{.out = {out.data(), Dtype::f32, {3, 2, dim}},
                        .x = {x.data(), Dtype::f32, {3, 2, dim}},
                        .positions = {positions.data(), Dtype::i32, {3}},
                        .inv_freq = {inv_freq.data(), Dtype::f32, {half}},
                        .pairs = pairs};
        ops->rope(rope);
        for (std::int64_t row = 0; row < 6; ++row) {
          for (std::int64_t k = 0; k < half; ++k) {
            const bool adjacent = pairs == RopePairs::interleaved;
            const std::int64_t a = row * dim + (adjacent ? 2 * k : k);
            const std::int64_t b = row * dim + (adjacent ? 2 * k + 1 : k + half);
            const float angle = static_cast<float>(positions[static_cast<std::size_t>(row / 2)]) *
                                inv_freq[static_cast<std::size_t>(k)];
            const double c = std::cos(static_cast<double>(angle));
            const double s = std::sin(static_cast<double>(angle));
            ASSERT_NEAR(at(out, a), at(x, a) * c - at(x, b) * s, 1e-6);
            ASSERT_NEAR(at(out, b), at(x, b) * c + at(x, a) * s, 1e-6);
          }
          for (std::int64_t i = rotated; i < dim; ++i) {
            ASSERT_EQ(at(out, row * dim + i), at(x, row * dim + i));
          }
        }
        Floats in_place = x;
        Rope over = rope;
        over.x = {in_place.data(), Dtype::f32, {3, 2, dim}};
        over.out = {in_place.data(), Dtype::f32, {3, 2, dim}};
        ops->rope(over);
        EXPECT_EQ(in_place, out);
      }
    }
  }
}

}  // namespace
}  // namespace glm::kernels
