// Which experts a token takes, by one warp. Contract: kernels/ops/router_topk.h.
//
// A winner is found by comparing (larger rank, lower index), a total order: the result
// does not depend on how the experts are spread over the lanes.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/router_rule.h"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {

// Numbers in the order of floats, and above zero; NaN is the least.
__device__ inline std::uint32_t key_of(float value) {
  const std::uint32_t bits = __float_as_uint(isnan(value) ? -INFINITY : value + 0.0F);  // one zero
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

// The lowest index among the largest keys; all lanes get it. Sets its key to zero: taken.
__device__ inline int take_largest(std::uint32_t* keys, int count) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  std::uint32_t best = 0;
  int index = count;  // none
#pragma unroll 1
  for (int i = lane; i < count; i += device::kWarpThreads) {
    if (keys[i] <= best) continue;
    best = keys[i];
    index = i;
  }
  const std::uint32_t largest = __reduce_max_sync(0xFFFFFFFFU, best);
  const unsigned winner = __reduce_min_sync(
      0xFFFFFFFFU, best == largest ? static_cast<unsigned>(index) : static_cast<unsigned>(count));
  if (winner % device::kWarpThreads == static_cast<unsigned>(lane)) keys[winner] = 0;
  __syncwarp();  // the mark is seen by all
  return static_cast<int>(winner);
}

// Marks the experts of all groups but the best ones as taken.
// Rare, and not worth the room in a kernel.
struct RouterGroups {
  int experts;
  int groups;
  int kept;
};
static __device__ __noinline__ void close_groups(RouterGroups how, const float* ranks,
                                                 std::uint32_t* keys, std::uint32_t* group_keys) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int size = how.experts / how.groups;
#pragma unroll 1
  for (int g = lane; g < how.groups; g += device::kWarpThreads) {
    float best = -INFINITY;
    float second = size > 1 ? -INFINITY : 0.0F;
#pragma unroll 1
    for (int e = g * size; e < (g + 1) * size; ++e) {
      if (ranks[e] > best) {
        if (size > 1) second = best;
        best = ranks[e];
      } else if (size > 1 && ranks[e] > second) {
        second = ranks[e];
      }
    }
    group_keys[g] = key_of(best + second);
  }
  __syncwarp();  // scores of all groups are there
#pragma unroll 1
  for (int i = 0; i < how.kept; ++i) take_largest(group_keys, how.groups);
#pragma unroll 1
  for (int e = lane; e < how.experts; e += device::kWarpThreads) {
    if (group_keys[e / size] != 0) keys[e] = 0;
  }
  __syncwarp();  // marks of all experts are there
}

// A token's logits from memory to the beginning of `scratch`, which choose_experts() then takes.
__device__ inline void read_logits(const RouterRule& rule, const float* logits, void* scratch) {
  auto* scores = static_cast<float*>(scratch);
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  // Asked for together, as each takes its time.
  constexpr int kAtOnce = 4;
#pragma unroll 1
  for (int first = lane; first < rule.experts; first += kAtOnce * device::kWarpThreads) {
    float own[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int e = first + i * device::kWarpThreads;
      own[i] = e < rule.experts ? __ldcg(logits + e) : 0.0F;
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int e = first + i * device::kWarpThreads;
      if (e < rule.experts) scores[e] = own[i];
    }
  }
}

// For so many experts that each lane has two at most: logits and bias of experts `lane` and
// `lane` + 32, zero where there is none. Chooses as choose_experts() does.
__device__ inline bool are_few(const RouterRule& rule) {
  return rule.experts <= 2 * device::kWarpThreads && rule.groups == 1 &&
         rule.chosen <= device::kWarpThreads;
}
__device__ inline void choose_of_few(const RouterRule& rule, const float (&logits)[2],
                                     const float (&bias)[2], std::int32_t* ids, float* weights) {
  constexpr unsigned kAll = 0xFFFFFFFFU;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  float scores[2];
  std::uint32_t keys[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int e = lane + i * device::kWarpThreads;
    const float score = isnan(logits[i]) ? 0.0F : 1.0F / (1.0F + expf(-logits[i]));
    const float rank = score + bias[i];
    scores[i] = score;
    keys[i] = e < rule.experts ? key_of(isnan(logits[i]) ? -INFINITY : rank) : 0U;
  }
  int own_id = 0;  // of choice number `lane`
#pragma unroll 1
  for (int j = 0; j < rule.chosen; ++j) {
    const std::uint32_t largest = __reduce_max_sync(kAll, max(keys[0], keys[1]));
    const unsigned first = __ballot_sync(kAll, keys[0] == largest);
    const unsigned second = __ballot_sync(kAll, keys[1] == largest);
    const int winner = __ffs(static_cast<int>(first != 0 ? first : second)) - 1;
    if (lane == winner && first != 0) keys[0] = 0;
    if (lane == winner && first == 0) keys[1] = 0;
    if (lane == j) own_id = first != 0 ? winner : winner + device::kWarpThreads;
  }
  const float both[2] = {__shfl_sync(kAll, scores[0], own_id % device::kWarpThreads),
                         __shfl_sync(kAll, scores[1], own_id % device::kWarpThreads)};
  const bool chose = lane < rule.chosen;
  const float score = !chose ? 0.0F : own_id < device::kWarpThreads ? both[0] : both[1];
  const float sum = device::warp_sum(score);
  if (!chose) return;
  ids[lane] = own_id;
  weights[lane] = score * (rule.normalized ? rule.scale / (sum + 1e-20F) : rule.scale);
}

// By logits at the beginning of `scratch`, each from the lane that will use it: number e from lane
// e % 32. `ids` and `weights` are [chosen] each; whoever reads them first meets the warp.
__device__ inline void choose_experts(const RouterRule& rule, void* scratch, std::int32_t* ids,
                                      float* weights) {
  auto* scores = static_cast<float*>(scratch);
  float* ranks = scores + rule.experts;
  auto* keys = reinterpret_cast<std::uint32_t*>(ranks + rule.experts);
  std::uint32_t* group_keys = keys + rule.experts;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
#pragma unroll 1
  for (int e = lane; e < rule.experts; e += device::kWarpThreads) {
    const float logit = scores[e];
    const float score = isnan(logit) ? 0.0F : 1.0F / (1.0F + expf(-logit));
    const float rank = rule.bias == nullptr ? score : score + rule.bias[e];
    scores[e] = score;
    ranks[e] = isnan(logit) || isnan(rank) ? -INFINITY : rank;
    keys[e] = key_of(ranks[e]);
  }
  __syncwarp();  // scores of all experts are there
  if (rule.groups > 1) {
    close_groups({rule.experts, rule.groups, rule.groups_kept}, ranks, keys, group_keys);
  }
  float sum = 0;
#pragma unroll 1
  for (int j = 0; j < rule.chosen; ++j) {
    const int winner = take_largest(keys, rule.experts);
    sum += scores[winner];
    if (lane == 0) ids[j] = winner;
  }
  __syncwarp();  // all ids are there
  const float factor = rule.normalized ? rule.scale / (sum + 1e-20F) : rule.scale;
#pragma unroll 1
  for (int j = lane; j < rule.chosen; j += device::kWarpThreads) {
    weights[j] = scores[ids[j]] * factor;
  }
}

}  // namespace glm::kernels::cuda
