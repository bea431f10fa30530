// Every operation of the CPU backend against the formula of its contract in double precision, on
// random numbers, over sizes around the widths of vectors and tiles.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "kernels/ops.h"

namespace glm::kernels {
namespace {

constexpr std::int64_t kSizes[] = {1, 2, 7, 31, 32, 33, 127, 128, 129};

using Floats = std::vector<float>;

class CpuOps : public testing::Test {
 protected:
  Floats random(std::int64_t count, float spread = 1.0F) {
    Floats values(static_cast<std::size_t>(count));
    for (float& value : values) {
      value = (static_cast<float>(engine_() >> 8U) * 0x1p-23F - 1.0F) * spread;
    }
    return values;
  }
  std::vector<std::uint16_t> bf16(const Floats& values) {
    std::vector<std::uint16_t> bits;
    for (const float value : values) bits.push_back(f32_to_bf16(value));
    return bits;
  }
  std::mt19937 engine_{20260101};  // NOLINT: the seed belongs to the test
  std::unique_ptr<Ops> ops_ = make_cpu_ops(2);
};

WeightView plain(const Floats& values, std::int64_t rows, std::int64_t cols) {
  return {.layout = {.format = WeightFormat::f32, .rows = rows, .cols = cols},
          .data = values.data(),
          .scales = nullptr};
}

TensorView out_view(Floats& values, std::initializer_list<std::int64_t> shape) {
  return view(std::span<float>(values), shape);
}
ConstTensorView in_view(const Floats& values, std::initializer_list<std::int64_t> shape) {
  return view(std::span<const float>(values), shape);
}

double at(const Floats& values, std::int64_t index) {
  return static_cast<double>(values[static_cast<std::size_t>(index)]);
}

TEST_F(CpuOps, ReadMemorySumsEveryWord) {
  for (const int count : {0, 4, 8, 60, 64, 68, 4096, (1 << 18) + 12, (1 << 20) + 4}) {
    const auto words = static_cast<std::size_t>(count);
    std::vector<std::uint32_t> data(words);
    std::uint32_t sum = 0;
    for (std::uint32_t& word : data) {
      word = static_cast<std::uint32_t>(engine_());
      sum += word;
    }
    std::uint32_t out = ~sum;
    ops_->read_memory({.out = &out, .data = data.data(), .size_bytes = 4 * words});
    EXPECT_EQ(out, sum) << words;
  }
}

TEST_F(CpuOps, MultiplyCountsItsOperations) {
  std::uint64_t once = 0;
  std::uint64_t again = 0;
  ops_->multiply({.out = &once});
  ops_->multiply({.out = &again});
  EXPECT_GT(once, 1'000'000U);
  EXPECT_EQ(once, again);
}

TEST_F(CpuOps, LinearMatchesTheFormula) {
  for (const std::int64_t inputs : kSizes) {
    for (const std::int64_t outputs : {1, 2, 7, 33}) {
      for (const std::int64_t tokens : {0, 1, 2, 3, 33}) {
        const Floats x = random(tokens * inputs);
        const Floats w = random(outputs * inputs);
        const Floats bias = random(outputs);
        Floats out(static_cast<std::size_t>(tokens * outputs), NAN);
        ops_->linear({.out = out_view(out, {tokens, outputs}),
                      .x = in_view(x, {tokens, inputs}),
                      .weight = plain(w, outputs, inputs),
                      .bias = in_view(bias, {outputs})});
        for (std::int64_t t = 0; t < tokens; ++t) {
          for (std::int64_t o = 0; o < outputs; ++o) {
            double sum = at(bias, o);
            double size = 1;
            for (std::int64_t i = 0; i < inputs; ++i) {
              sum += at(x, t * inputs + i) * at(w, o * inputs + i);
              size += std::abs(at(x, t * inputs + i) * at(w, o * inputs + i));
            }
            ASSERT_NEAR(at(out, t * outputs + o), sum, 2e-6 * size);
          }
        }
      }
    }
  }
}

TEST_F(CpuOps, LinearGivesATokenTheSameBitsInAnyCompany) {
  const std::int64_t inputs = 129;
  const std::int64_t outputs = 37;
  const Floats x = random(5 * inputs);
  const auto w = bf16(random(outputs * inputs));
  const WeightView weight{.layout = {.format = WeightFormat::bf16, .rows = outputs, .cols = inputs},
                          .data = w.data(),
                          .scales = nullptr};
  Floats all(5 * 37);
  ops_->linear(
      {.out = out_view(all, {5, outputs}), .x = in_view(x, {5, inputs}), .weight = weight});
  for (std::int64_t t = 0; t < 5; ++t) {
    Floats one(37);
    ops_->linear({.out = out_view(one, {1, outputs}),
                  .x = in_view(x, {5, inputs}).slice(0, t, 1),
                  .weight = weight});
    EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin() + t * outputs));
  }
}

TEST_F(CpuOps, HeadLinearMatchesTheFormula) {
  for (const std::int64_t inputs : {1, 24, 33}) {
    for (const std::int64_t heads : {1, 3}) {
      for (const std::int64_t first_row : {0, 5}) {
        for (const HeadOrder order : {HeadOrder::as_stored, HeadOrder::transposed}) {
          const bool turned = order == HeadOrder::transposed;
          const std::int64_t tokens = 3;
          const std::int64_t outputs = 17;
          const std::int64_t head_rows = first_row + (turned ? inputs : outputs) + first_row / 2;
          const std::int64_t cols = turned ? outputs : inputs;
          const Floats x = random(tokens * heads * (inputs + 2));
          const Floats w = random(heads * head_rows * cols);
          Floats out(static_cast<std::size_t>(tokens * heads * outputs), NAN);
          ops_->head_linear(
              {.out = out_view(out, {tokens, heads, outputs}),
               .x = in_view(x, {tokens, heads, inputs + 2}).slice(2, 1, inputs),  // awkward strides
               .weight = plain(w, heads * head_rows, cols),
               .head_rows = head_rows,
               .first_row = first_row,
               .order = order});
          for (std::int64_t t = 0; t < tokens; ++t) {
            for (std::int64_t h = 0; h < heads; ++h) {
              const std::int64_t first = h * head_rows + first_row;
              for (std::int64_t o = 0; o < outputs; ++o) {
                double sum = 0;
                for (std::int64_t i = 0; i < inputs; ++i) {
                  sum += at(x, (t * heads + h) * (inputs + 2) + 1 + i) *
                         at(w, turned ? (first + i) * cols + o : (first + o) * cols + i);
                }
                ASSERT_NEAR(at(out, (t * heads + h) * outputs + o), sum, 1e-5);
              }
            }
          }
        }
      }
    }
  }
}

TEST_F(CpuOps, RmsNormMatchesTheFormula) {
  for (const std::int64_t dim : kSizes) {
    for (const std::int64_t rows : {0, 1, 3}) {
      for (const bool fused : {false, true}) {
        const Floats x = random(rows * dim, 3);
        const Floats weight = random(dim, 2);
        const Floats before = random(rows * dim);
        Floats residual = before;
        Floats out(x.size());
        ops_->rms_norm({.out = out_view(out, {rows, dim}),
                        .x = in_view(x, {rows, dim}),
                        .weight = in_view(weight, {dim}),
                        .residual = fused ? out_view(residual, {rows, dim}) : TensorView(),
                        .sum = fused ? out_view(residual, {rows, dim}) : TensorView(),
                        .eps = 1e-5F});
        for (std::int64_t r = 0; r < rows; ++r) {
          double squares = 0;
          const auto value = [&](std::int64_t c) {
            const float sum = x[static_cast<std::size_t>(r * dim + c)] +
                              (fused ? before[static_cast<std::size_t>(r * dim + c)] : 0.0F);
            return static_cast<double>(sum);
          };
          for (std::int64_t c = 0; c < dim; ++c) squares += value(c) * value(c);
          const double scale = 1 / std::sqrt(squares / static_cast<double>(dim) + 1e-5);
          for (std::int64_t c = 0; c < dim; ++c) {
            const double want = at(weight, c) * value(c) * scale;
            ASSERT_NEAR(at(out, r * dim + c), want, 1e-5 * std::abs(want) + 1e-12);
            ASSERT_TRUE(!fused || at(residual, r * dim + c) == value(c));
          }
        }
      }
    }
  }
}

TEST_F(CpuOps, RmsNormWorksInPlace) {
  const Floats x = random(66);
  const Floats weight = random(33);
  Floats apart(66);
  ops_->rms_norm({.out = out_view(apart, {2, 33}),
                  .x = in_view(x, {2, 33}),
                  .weight = in_view(weight, {33}),
                  .eps = 1e-6F});
  Floats in_place = x;
  ops_->rms_norm({.out = out_view(in_place, {2, 33}),
                  .x = in_view(in_place, {2, 33}),
                  .weight = in_view(weight, {33}),
                  .eps = 1e-6F});
  EXPECT_EQ(apart, in_place);
}

TEST_F(CpuOps, RopeTurnsPairsAtAnyPosition) {
  const std::int64_t dim = 64;
  const std::vector<std::int32_t> positions = {0, 1, 17, 202751};
  Floats inv_freq;
  for (int k = 0; k < dim / 2; ++k) {
    inv_freq.push_back(1.0F / static_cast<float>(std::pow(1e6, 2.0 * k / dim)));
  }
  for (const RopePairs pairs : {RopePairs::interleaved, RopePairs::half_split}) {
    const Floats x = random(4 * 3 * dim);
    Floats out(x.size());
    ops_->rope({.out = out_view(out, {4, 3, dim}),
                .x = in_view(x, {4, 3, dim}),
                .positions = {positions.data(), Dtype::i32, {4}},
                .inv_freq = in_view(inv_freq, {dim / 2}),
                .pairs = pairs});
    for (std::int64_t t = 0; t < 4; ++t) {
      for (std::int64_t h = 0; h < 3; ++h) {
        for (std::int64_t k = 0; k < dim / 2; ++k) {
          const float angle = static_cast<float>(positions[static_cast<std::size_t>(t)]) *
                              inv_freq[static_cast<std::size_t>(k)];
          const double c = std::cos(static_cast<double>(angle));
          const double s = std::sin(static_cast<double>(angle));
          const std::int64_t base = (t * 3 + h) * dim;
          const bool adjacent = pairs == RopePairs::interleaved;
          const std::int64_t a = base + (adjacent ? 2 * k : k);
          const std::int64_t b = base + (adjacent ? 2 * k + 1 : k + dim / 2);
          ASSERT_NEAR(at(out, a), at(x, a) * c - at(x, b) * s, 1e-6);
          ASSERT_NEAR(at(out, b), at(x, b) * c + at(x, a) * s, 1e-6);
        }
      }
    }
  }
}

TEST_F(CpuOps, EmbeddingCopiesRows) {
  const Floats table = random(5 * 7);
  const std::vector<std::int32_t> ids = {4, 0, 4};
  Floats out(3 * 7);
  ops_->embedding({.out = out_view(out, {3, 7}),
                   .ids = {ids.data(), Dtype::i32, {3}},
                   .table = plain(table, 5, 7)});
  for (std::int64_t t = 0; t < 3; ++t) {
    for (std::int64_t c = 0; c < 7; ++c) {
      EXPECT_EQ(at(out, t * 7 + c), at(table, ids[static_cast<std::size_t>(t)] * 7 + c));
    }
  }
}

TEST_F(CpuOps, GatedLinearMatchesTheFormula) {
  const std::int64_t inputs = 37;
  const std::int64_t outputs = 70;
  for (const std::int64_t tokens : {0, 1, 5, 33}) {
    const Floats x = random(tokens * inputs);
    const Floats gate = random(outputs * inputs);
    const Floats up = random(outputs * inputs);
    const std::int64_t stride = outputs + 2;
    Floats out(static_cast<std::size_t>(tokens * stride), NAN);
    ops_->gated_linear({.out = out_view(out, {tokens, stride}).slice(1, 0, outputs),
                        .x = in_view(x, {tokens, inputs}),
                        .gate = plain(gate, outputs, inputs),
                        .up = plain(up, outputs, inputs)});
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t o = 0; o < stride; ++o) {
        if (o >= outputs) {
          ASSERT_TRUE(std::isnan(out[static_cast<std::size_t>(t * stride + o)]));
          continue;
        }
        double g = 0;
        double u = 0;
        for (std::int64_t i = 0; i < inputs; ++i) {
          g += at(x, t * inputs + i) * at(gate, o * inputs + i);
          u += at(x, t * inputs + i) * at(up, o * inputs + i);
        }
        ASSERT_NEAR(at(out, t * stride + o), g / (1 + std::exp(-g)) * u, 2e-5);
      }
    }
  }
}

// Softmax attention of one query over `count` keys, in double precision.
std::vector<double> attend(std::int64_t count, double scale, std::int64_t v_dim,
                           const std::function<double(std::int64_t)>& dot,
                           const std::function<double(std::int64_t, std::int64_t)>& value) {
  double top = -std::numeric_limits<double>::infinity();
  for (std::int64_t j = 0; j < count; ++j) top = std::max(top, scale * dot(j));
  double sum = 0;
  std::vector<double> out(static_cast<std::size_t>(v_dim));
  for (std::int64_t j = 0; j < count; ++j) {
    const double p = std::exp(scale * dot(j) - top);
    sum += p;
    for (std::int64_t c = 0; c < v_dim; ++c) out[static_cast<std::size_t>(c)] += p * value(j, c);
  }
  for (double& v : out) v /= sum;
  return out;
}

struct AttentionShape {
  std::int64_t tokens;
  std::int64_t positions;
  std::int64_t heads;
};
constexpr AttentionShape kAttentionShapes[] = {{1, 1, 1},  {1, 33, 3},   {2, 2, 2},
                                               {7, 31, 5}, {33, 129, 3}, {16, 16, 1}};

TEST_F(CpuOps, MlaExpandedMatchesTheFormula) {
  const std::int64_t nope = 19;
  const std::int64_t rope = 6;
  const std::int64_t v_dim = 37;
  for (const AttentionShape& s : kAttentionShapes) {
    const Floats q = random(s.tokens * s.heads * (nope + rope));
    const Floats k = random(s.positions * s.heads * nope);
    const Floats k_rope = random(s.positions * rope);
    const Floats v = random(s.positions * s.heads * v_dim);
    Floats out(static_cast<std::size_t>(s.tokens * s.heads * v_dim));
    ops_->mla_expanded({.out = out_view(out, {s.tokens, s.heads, v_dim}),
                        .q = in_view(q, {s.tokens, s.heads, nope + rope}),
                        .k = in_view(k, {s.positions, s.heads, nope}),
                        .k_rope = in_view(k_rope, {s.positions, rope}),
                        .v = in_view(v, {s.positions, s.heads, v_dim}),
                        .scale = 0.2F});
    for (std::int64_t t = 0; t < s.tokens; ++t) {
      for (std::int64_t h = 0; h < s.heads; ++h) {
        const std::int64_t q_row = (t * s.heads + h) * (nope + rope);
        const auto want = attend(
            s.positions - s.tokens + t + 1, static_cast<double>(0.2F), v_dim,
            [&](std::int64_t j) {
              double sum = 0;
              for (std::int64_t i = 0; i < nope; ++i) {
                sum += at(q, q_row + i) * at(k, (j * s.heads + h) * nope + i);
              }
              for (std::int64_t i = 0; i < rope; ++i) {
                sum += at(q, q_row + nope + i) * at(k_rope, j * rope + i);
              }
              return sum;
            },
            [&](std::int64_t j, std::int64_t c) { return at(v, (j * s.heads + h) * v_dim + c); });
        for (std::int64_t c = 0; c < v_dim; ++c) {
          ASSERT_NEAR(at(out, (t * s.heads + h) * v_dim + c), want[static_cast<std::size_t>(c)],
                      1e-5);
        }
      }
    }
  }
}

TEST_F(CpuOps, MoeMlpMatchesTheFormula) {
  for (const std::int64_t tokens : {1, 2, 7, 33}) {
    const std::int64_t hidden = 33;
    const std::int64_t inner = 50;
    const std::int64_t experts = 5;
    const std::int64_t chosen = 3;
    const Floats x = random(tokens * hidden);
    const Floats gate = random(experts * inner * hidden, 0.3F);
    const Floats up = random(experts * inner * hidden, 0.3F);
    const Floats down = random(experts * hidden * inner, 0.3F);
    const Floats weights = random(tokens * chosen);
    const Floats shared = random(tokens * hidden);
    const bool with_shared = tokens != 7;
    std::vector<std::int32_t> ids;
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t j = 0; j < chosen; ++j) {
        ids.push_back(static_cast<std::int32_t>((t + 2 * j) % experts));
      }
    }
    const auto stack = [&](const Floats& values, std::int64_t rows, std::int64_t cols) {
      return ExpertsView{.layout = {.format = WeightFormat::f32, .rows = rows, .cols = cols},
                         .experts = experts,
                         .parts = {values.data()}};
    };
    Floats out(static_cast<std::size_t>(tokens * hidden), NAN);
    ops_->moe_mlp({.out = out_view(out, {tokens, hidden}),
                   .x = in_view(x, {tokens, hidden}),
                   .ids = {ids.data(), Dtype::i32, {tokens, chosen}},
                   .weights = in_view(weights, {tokens, chosen}),
                   .gate = stack(gate, inner, hidden),
                   .up = stack(up, inner, hidden),
                   .down = stack(down, hidden, inner),
                   .shared = with_shared ? in_view(shared, {tokens, hidden}) : ConstTensorView()});
    for (std::int64_t t = 0; t < tokens; ++t) {
      std::vector<double> want(static_cast<std::size_t>(hidden));
      for (std::int64_t j = 0; j < chosen; ++j) {
        const std::int64_t e = ids[static_cast<std::size_t>(t * chosen + j)];
        for (std::int64_t i = 0; i < inner; ++i) {
          double g = 0;
          double u = 0;
          for (std::int64_t c = 0; c < hidden; ++c) {
            g += at(x, t * hidden + c) * at(gate, (e * inner + i) * hidden + c);
            u += at(x, t * hidden + c) * at(up, (e * inner + i) * hidden + c);
          }
          const double act = g / (1 + std::exp(-g)) * u * at(weights, t * chosen + j);
          for (std::int64_t c = 0; c < hidden; ++c) {
            want[static_cast<std::size_t>(c)] += act * at(down, (e * hidden + c) * inner + i);
          }
        }
      }
      for (std::int64_t c = 0; c < hidden; ++c) {
        if (with_shared) want[static_cast<std::size_t>(c)] += at(shared, t * hidden + c);
        ASSERT_NEAR(at(out, t * hidden + c), want[static_cast<std::size_t>(c)], 2e-5);
      }
    }
  }
}

TEST_F(CpuOps, MoeLayerIsRouterChoiceAndExperts) {
  const std::int64_t tokens = 5;
  const std::int64_t hidden = 24;
  const std::int64_t inner = 10;
  const std::int64_t wide = 14;
  const std::int64_t experts = 6;
  const std::int64_t chosen = 2;
  const Floats x = random(tokens * hidden);
  const Floats router = random(experts * hidden);
  const Floats bias = random(experts);
  const Floats gate = random(experts * inner * hidden, 0.3F);
  const Floats up = random(experts * inner * hidden, 0.3F);
  const Floats down = random(experts * hidden * inner, 0.3F);
  const Floats shared_gate = random(wide * hidden, 0.3F);
  const Floats shared_up = random(wide * hidden, 0.3F);
  const Floats shared_down = random(hidden * wide, 0.3F);
  const std::int64_t heads = 18;
  const Floats said = random(tokens * heads);
  const Floats projected = random(hidden * heads, 0.3F);
  const Floats residual = random(tokens * hidden);
  const Floats norm_weight = random(hidden);
  const auto stack = [](const Floats& values, std::int64_t count, std::int64_t rows,
                        std::int64_t cols) {
    return ExpertsView{.layout = {.format = WeightFormat::f32, .rows = rows, .cols = cols},
                       .experts = count,
                       .parts = {values.data()}};
  };
  for (const bool with_shared : {false, true}) {
    const auto poison = [](std::int64_t count) {
      return Floats(static_cast<std::size_t>(count), NAN);
    };
    Floats out = poison(tokens * hidden);
    Floats logits = poison(tokens * experts);
    Floats weights = poison(tokens * chosen);
    Floats shared_inner = poison(tokens * wide);
    Floats shared_out = poison(tokens * hidden);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens * chosen), -1);
    MoeLayer layer{.out = out_view(out, {tokens, hidden}),
                   .x = in_view(x, {tokens, hidden}),
                   .router = stack(router, 1, experts, hidden).expert(0),
                   .bias = in_view(bias, {experts}),
                   .scale = 1.8F,
                   .gate = stack(gate, experts, inner, hidden),
                   .up = stack(up, experts, inner, hidden),
                   .down = stack(down, experts, hidden, inner),
                   .logits = out_view(logits, {tokens, experts}),
                   .ids = {ids.data(), Dtype::i32, {tokens, chosen}},
                   .weights = out_view(weights, {tokens, chosen})};
    if (with_shared) {
      layer.shared = {.gate = stack(shared_gate, 1, wide, hidden).expert(0),
                      .up = stack(shared_up, 1, wide, hidden).expert(0),
                      .down = stack(shared_down, 1, hidden, wide).expert(0),
                      .inner = out_view(shared_inner, {tokens, wide}),
                      .out = out_view(shared_out, {tokens, hidden})};
    }
    ops_->moe_layer(layer);
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t e = 0; e < experts; ++e) {
        double want = 0;
        for (std::int64_t c = 0; c < hidden; ++c) {
          want += at(x, t * hidden + c) * at(router, e * hidden + c);
        }
        ASSERT_NEAR(at(logits, t * experts + e), want, 1e-5);
      }
    }
    // The parts have tests of their own: here they are held against each other.
    Floats again = poison(tokens * hidden);
    MoeMlp parts = layer.experts();
    parts.out = out_view(again, {tokens, hidden});
    std::vector<std::int32_t> own_ids(ids.size(), -1);
    Floats own_weights = poison(tokens * chosen);
    RouterTopK choice = layer.choice();
    choice.ids.data = own_ids.data();
    choice.weights.data = own_weights.data();
    ops_->router_topk(choice);
    EXPECT_EQ(own_ids, ids);
    EXPECT_EQ(own_weights, weights);
    ops_->moe_mlp(parts);
    EXPECT_EQ(again, out);
    EXPECT_EQ(std::isfinite(shared_out.front()), with_shared);
    // With a front, whose projection may lie where the result will.
    Floats normed = poison(tokens * hidden);
    Floats sum = poison(tokens * hidden);
    const Linear projection{.out = out_view(again, {tokens, hidden}),
                            .x = in_view(said, {tokens, heads}),
                            .weight = stack(projected, 1, hidden, heads).expert(0)};
    const RmsNorm norm{.out = out_view(normed, {tokens, hidden}),
                       .x = projection.out,
                       .weight = in_view(norm_weight, {hidden}),
                       .residual = in_view(residual, {tokens, hidden}),
                       .sum = out_view(sum, {tokens, hidden}),
                       .eps = 1e-5F};
    ops_->linear(projection);
    ops_->rms_norm(norm);
    layer.x = norm.out;
    ops_->moe_layer(layer);
    const Floats want = out;
    const Floats want_sum = sum;
    for (Floats* written : {&again, &normed, &sum}) {
      std::fill(written->begin(), written->end(), NAN);
    }
    layer.front = {.projection = projection, .norm = norm};
    layer.out = projection.out;
    ops_->moe_layer(layer);
    EXPECT_EQ(again, want);
    EXPECT_EQ(sum, want_sum);
  }
}

struct Routed {
  std::vector<std::int32_t> ids;
  Floats weights;
};

class Router : public CpuOps {
 protected:
  Routed route(const Floats& logits, const Floats& bias, std::int64_t chosen,
               std::int64_t groups = 1, std::int64_t groups_kept = 1) {
    const auto experts = static_cast<std::int64_t>(logits.size());
    Routed routed{std::vector<std::int32_t>(static_cast<std::size_t>(chosen)),
                  Floats(static_cast<std::size_t>(chosen))};
    ops_->router_topk({.ids = {routed.ids.data(), Dtype::i32, {1, chosen}},
                       .weights = out_view(routed.weights, {1, chosen}),
                       .logits = in_view(logits, {1, experts}),
                       .bias = bias.empty() ? ConstTensorView() : in_view(bias, {experts}),
                       .groups = groups,
                       .groups_kept = groups_kept,
                       .weighting = RouterWeights::normalized,
                       .scale = 1.8F});
    return routed;
  }
};

using Ids = std::vector<std::int32_t>;

TEST_F(Router, BreaksTiesByTheLowestIndex) {
  EXPECT_EQ(route(Floats(7, 0.5F), {}, 4).ids, (Ids{0, 1, 2, 3}));
  EXPECT_EQ(route({1, 2, 2, 1, 2}, {}, 4).ids, (Ids{1, 2, 4, 0}));
  // Scores below the resolution of a large bias tie exactly.
  EXPECT_EQ(route({-40, -39, -41, -38}, Floats(4, 34), 2).ids, (Ids{0, 1}));
}

TEST_F(Router, ChoosesByTheBiasAndWeighsWithoutIt) {
  const Routed routed = route({2, 1, 0, -1}, {0, 0, 5, 6}, 2);
  EXPECT_EQ(routed.ids, (Ids{3, 2}));
  const double s3 = 1 / (1 + std::exp(1.0));
  const double s2 = 0.5;
  EXPECT_NEAR(static_cast<double>(routed.weights[0]), 1.8 * s3 / (s2 + s3), 1e-6);
  EXPECT_NEAR(static_cast<double>(routed.weights[1]), 1.8 * s2 / (s2 + s3), 1e-6);
}

TEST_F(Router, KeepsTheBestGroupsOnly) {
  // Group sums of the two best: {3 + 0}, {2 + 2}: the second group wins, lone star or not.
  EXPECT_EQ(route({-9, -9, -9, -9}, {3, 0, 2, 2}, 2, 2, 1).ids, (Ids{2, 3}));
  EXPECT_EQ(route({-9, -9, -9, -9}, {3, 1, 2, 2}, 2, 2, 1).ids, (Ids{0, 1}));
}

TEST_F(Router, SurvivesNumbersThatAreNone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (const Floats& logits :
       {Floats(5, nan), Floats(5, -inf), Floats(5, -1e30F), Floats{nan, 1, -inf, inf, nan}}) {
    const Routed routed = route(logits, {}, 3);
    Ids sorted = routed.ids;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_TRUE(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
    EXPECT_GE(sorted.front(), 0);
    EXPECT_LT(sorted.back(), 5);
    for (const float weight : routed.weights) EXPECT_TRUE(std::isfinite(weight));
  }
  EXPECT_EQ(route({nan, 1, -inf, inf, nan}, {}, 3).ids, (Ids{3, 1, 2}));
}

using CpuOpsDeathTest = CpuOps;

TEST_F(CpuOpsDeathTest, NamesTheOperandThatDoesNotFit) {
  const Floats x(6);
  const Floats w(8);
  Floats out(4);
  EXPECT_DEATH(
      ops_->linear(
          {.out = out_view(out, {2, 2}), .x = in_view(x, {2, 3}), .weight = plain(w, 2, 4)}),
      "op operand x: inputs is 3, wanted 4");
}

}  // namespace
}  // namespace glm::kernels
