// Which experts a token takes, by one warp. Contract: kernels/ops/router_topk.h.
//
// A winner is found by comparing (not taken, larger rank, lower index), a total order: the result
// does not depend on how the experts are spread over the lanes.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/router_rule.h"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {

// The lowest index among the largest of those not taken; all lanes get it. Marks it as taken.
__device__ inline int take_largest(const float* values, std::uint8_t* taken, int count) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  float best = 0;
  int index = count;  // none
  for (int i = lane; i < count; i += device::kWarpThreads) {
    if (taken[i] != 0) continue;
    if (index == count || values[i] > best) {
      best = values[i];
      index = i;
    }
  }
  for (int offset = device::kWarpThreads / 2; offset > 0; offset /= 2) {
    const float other = __shfl_xor_sync(0xFFFFFFFFU, best, offset);
    const int other_index = __shfl_xor_sync(0xFFFFFFFFU, index, offset);
    if (other_index == count) continue;
    if (index == count || other > best || (other == best && other_index < index)) {
      best = other;
      index = other_index;
    }
  }
  if (lane == 0) taken[index] = 1;
  __syncwarp();  // the mark is seen by all
  return index;
}

__device__ inline void close_groups(const RouterRule& rule, const float* ranks, std::uint8_t* taken,
                                    float* group_scores, std::uint8_t* kept) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int size = rule.experts / rule.groups;
  for (int g = lane; g < rule.groups; g += device::kWarpThreads) {
    float best = -INFINITY;
    float second = size > 1 ? -INFINITY : 0.0F;
    for (int e = g * size; e < (g + 1) * size; ++e) {
      if (ranks[e] > best) {
        if (size > 1) second = best;
        best = ranks[e];
      } else if (size > 1 && ranks[e] > second) {
        second = ranks[e];
      }
    }
    group_scores[g] = best + second;
    kept[g] = 0;
  }
  __syncwarp();  // scores of all groups are there
  for (int i = 0; i < rule.groups_kept; ++i) take_largest(group_scores, kept, rule.groups);
  for (int e = lane; e < rule.experts; e += device::kWarpThreads) taken[e] = kept[e / size] ? 0 : 1;
  __syncwarp();  // marks of all experts are there
}

// `ids` and `weights`, [chosen] each, are written by lane 0.
__device__ inline void choose_experts(const RouterRule& rule, const float* logits,
                                      std::uint8_t* scratch, std::int32_t* ids, float* weights) {
  auto* scores = reinterpret_cast<float*>(scratch);
  float* ranks = scores + rule.experts;
  float* group_scores = ranks + rule.experts;
  auto* taken = reinterpret_cast<std::uint8_t*>(group_scores + rule.groups);
  std::uint8_t* kept = taken + rule.experts;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  for (int e = lane; e < rule.experts; e += device::kWarpThreads) {
    const float logit = __ldcg(logits + e);
    const float score = isnan(logit) ? 0.0F : 1.0F / (1.0F + expf(-logit));
    const float rank = rule.bias == nullptr ? score : score + rule.bias[e];
    scores[e] = score;
    ranks[e] = isnan(logit) || isnan(rank) ? -INFINITY : rank;
    taken[e] = 0;
  }
  __syncwarp();  // scores of all experts are there
  if (rule.groups > 1) close_groups(rule, ranks, taken, group_scores, kept);
  float sum = 0;
  for (int j = 0; j < rule.chosen; ++j) {
    const int winner = take_largest(ranks, taken, rule.experts);
    sum += scores[winner];
    if (lane == 0) {
      ids[j] = winner;
      weights[j] = scores[winner];
    }
  }
  if (lane != 0) return;
  const float factor = rule.normalized ? rule.scale / (sum + 1e-20F) : rule.scale;
  for (int j = 0; j < rule.chosen; ++j) weights[j] *= factor;
}

}  // namespace glm::kernels::cuda
