#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows_linear.h"

namespace glm::kernels::cpu {
namespace {

// One use of one expert by one token.
struct Pair {
  std::int32_t expert;
  std::int32_t token;
  float weight;
};

// The pairs of one expert: [first, end) of the sorted list.
struct Batch {
  std::int64_t expert;
  std::int64_t first;
  std::int64_t end;
};

std::vector<Pair> sorted_pairs(const MoeMlp& a) {
  const auto* ids = a.ids.as<std::int32_t>();
  const auto* weights = a.weights.as<float>();
  const std::int64_t chosen = a.ids.size(1);
  std::vector<Pair> pairs;
  pairs.reserve(static_cast<std::size_t>(a.ids.size(0) * chosen));
  for (std::int64_t i = 0; i < a.ids.size(0) * chosen; ++i) {
    GLM_CHECK(ids[i] >= 0 && ids[i] < a.gate.experts);
    pairs.push_back({ids[i], static_cast<std::int32_t>(i / chosen), weights[i]});
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& p, const Pair& q) { return p.expert < q.expert; });
  return pairs;
}

std::vector<Batch> batches_of(const std::vector<Pair>& pairs) {
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (batches.empty() || batches.back().expert != pairs[i].expert) {
      batches.push_back({pairs[i].expert, static_cast<std::int64_t>(i), 0});
    }
    batches.back().end = static_cast<std::int64_t>(i) + 1;
  }
  return batches;
}

}  // namespace

void moe_mlp(ThreadPool& pool, const MoeMlp& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t hidden = a.x.size(1);
  const std::int64_t inner = a.gate.layout.rows;
  const std::vector<Pair> pairs = sorted_pairs(a);
  const std::vector<Batch> batches = batches_of(pairs);
  const auto pair_count = static_cast<std::int64_t>(pairs.size());
  const auto batch_count = static_cast<std::int64_t>(batches.size());
  const std::int64_t cost = pair_count * hidden * inner;

  // Rows of x in the order of pairs, and what the experts make of them: [pairs, inner], twice.
  float* gathered = scratch(Scratch::gathered, pair_count * (hidden + 2 * inner));
  float* gate = gathered + pair_count * hidden;
  float* up = gate + pair_count * inner;
  for (std::int64_t i = 0; i < pair_count; ++i) {
    const std::int64_t token = pairs[static_cast<std::size_t>(i)].token;
    std::memcpy(gathered + i * hidden, a.x.as<float>() + token * a.x.stride(0),
                static_cast<std::size_t>(hidden) * sizeof(float));
  }

  constexpr std::int64_t kRows = 32;
  const std::int64_t inner_blocks = (inner + kRows - 1) / kRows;
  pool.for_ranges(batch_count * inner_blocks, 1, 2 * cost,
                  [&](std::int64_t first, std::int64_t end) {
                    for (std::int64_t unit = first; unit < end; ++unit) {
                      const Batch& batch = batches[static_cast<std::size_t>(unit / inner_blocks)];
                      const std::int64_t row = unit % inner_blocks * kRows;
                      const std::int64_t row_end = std::min(row + kRows, inner);
                      RowsLinear part{.weight = a.gate.expert(batch.expert),
                                      .first_row = row,
                                      .end_row = row_end,
                                      .x = gathered + batch.first * hidden,
                                      .x_stride = hidden,
                                      .tokens = batch.end - batch.first,
                                      .out = gate + batch.first * inner,
                                      .out_stride = inner};
                      rows_linear(part);
                      part.weight = a.up.expert(batch.expert);
                      part.out = up + batch.first * inner;
                      rows_linear(part);
                      for (std::int64_t i = batch.first; i < batch.end; ++i) {
                        for (std::int64_t c = i * inner + row; c < i * inner + row_end; ++c) {
                          gate[c] = gate[c] / (1.0F + std::exp(-gate[c])) * up[c];
                        }
                      }
                    }
                  });

  const std::int64_t hidden_blocks = (hidden + kRows - 1) / kRows;
  pool.for_ranges(hidden_blocks, 1, cost, [&](std::int64_t first, std::int64_t end) {
    const std::int64_t row = first * kRows;
    const std::int64_t row_end = std::min(end * kRows, hidden);
    const std::int64_t width = row_end - row;
    for (std::int64_t t = 0; t < a.x.size(0); ++t) {
      std::fill_n(a.out.as<float>() + t * a.out.stride(0) + row, width, 0.0F);
    }
    for (const Batch& batch : batches) {
      const std::int64_t tokens = batch.end - batch.first;
      float* part = scratch(Scratch::expert_out, tokens * width);
      rows_linear({.weight = a.down.expert(batch.expert).row_slice(row, width),
                   .first_row = 0,
                   .end_row = width,
                   .x = gate + batch.first * inner,
                   .x_stride = inner,
                   .tokens = tokens,
                   .out = part,
                   .out_stride = width});
      for (std::int64_t i = 0; i < tokens; ++i) {
        const Pair& pair = pairs[static_cast<std::size_t>(batch.first + i)];
        float* out = a.out.as<float>() + pair.token * a.out.stride(0) + row;
        for (std::int64_t c = 0; c < width; ++c) out[c] += pair.weight * part[i * width + c];
      }
    }
    for (std::int64_t t = 0; a.shared && t < a.x.size(0); ++t) {
      float* out = a.out.as<float>() + t * a.out.stride(0) + row;
      const float* shared = a.shared.as<float>() + t * a.shared.stride(0) + row;
      for (std::int64_t c = 0; c < width; ++c) out[c] += shared[c];
    }
  });
}

}  // namespace glm::kernels::cpu
