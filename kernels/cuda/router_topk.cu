// One warp per token; scores lie in shared memory. Contract: kernels/ops/router_topk.h.
//
// A winner is found by comparing (not taken, larger rank, lower index), a total order: the result
// does not depend on how the experts are spread over the lanes.
#include <cmath>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kFullWarp = 0xFFFFFFFFU;

struct Args {
  std::int32_t* ids;
  float* weights;
  const float* logits;
  const float* bias;  // may be null
  std::int64_t logits_stride;
  std::int32_t experts;
  std::int32_t chosen;
  std::int32_t groups;
  std::int32_t groups_kept;
  float scale;
  bool normalized;
};

// The lowest index among the largest of those not taken; all lanes get it. Marks it as taken.
__device__ int take_largest(const float* values, std::uint8_t* taken, int count) {
  const int lane = static_cast<int>(threadIdx.x);
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
    const float other = __shfl_xor_sync(kFullWarp, best, offset);
    const int other_index = __shfl_xor_sync(kFullWarp, index, offset);
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

__device__ void close_groups(const Args& a, const float* ranks, std::uint8_t* taken,
                             float* group_scores, std::uint8_t* kept) {
  const int lane = static_cast<int>(threadIdx.x);
  const int size = a.experts / a.groups;
  for (int g = lane; g < a.groups; g += device::kWarpThreads) {
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
  for (int i = 0; i < a.groups_kept; ++i) take_largest(group_scores, kept, a.groups);
  for (int e = lane; e < a.experts; e += device::kWarpThreads) taken[e] = kept[e / size] ? 0 : 1;
  __syncwarp();  // marks of all experts are there
}

__global__ void router_kernel(Args a) {
  extern __shared__ float memory[];
  float* scores = memory;
  float* ranks = scores + a.experts;
  float* group_scores = ranks + a.experts;
  auto* taken = reinterpret_cast<std::uint8_t*>(group_scores + a.groups);
  std::uint8_t* kept = taken + a.experts;
  const int lane = static_cast<int>(threadIdx.x);
  const std::int64_t token = blockIdx.x;
  const float* logits = a.logits + token * a.logits_stride;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  for (int e = lane; e < a.experts; e += device::kWarpThreads) {
    const float logit = logits[e];
    const float score = isnan(logit) ? 0.0F : 1.0F / (1.0F + expf(-logit));
    const float rank = a.bias == nullptr ? score : score + a.bias[e];
    scores[e] = score;
    ranks[e] = isnan(logit) || isnan(rank) ? -INFINITY : rank;
    taken[e] = 0;
  }
  __syncwarp();  // scores of all experts are there
  if (a.groups > 1) close_groups(a, ranks, taken, group_scores, kept);
  float sum = 0;
  for (int j = 0; j < a.chosen; ++j) {
    const int winner = take_largest(ranks, taken, a.experts);
    sum += scores[winner];
    if (lane == 0) {
      a.ids[token * a.chosen + j] = winner;
      a.weights[token * a.chosen + j] = scores[winner];
    }
  }
  if (lane != 0) return;
  const float factor = a.normalized ? a.scale / (sum + 1e-20F) : a.scale;
  for (int j = 0; j < a.chosen; ++j) a.weights[token * a.chosen + j] *= factor;
}

}  // namespace

cudaError_t launch_router_topk(const RouterTopK& a, cudaStream_t stream) {
  if (a.logits.size(0) == 0) return cudaSuccess;
  const Args args{.ids = a.ids.as<std::int32_t>(),
                  .weights = a.weights.as<float>(),
                  .logits = a.logits.as<float>(),
                  .bias = a.bias.as<float>(),
                  .logits_stride = a.logits.stride(0),
                  .experts = static_cast<std::int32_t>(a.logits.size(1)),
                  .chosen = static_cast<std::int32_t>(a.ids.size(1)),
                  .groups = static_cast<std::int32_t>(a.groups),
                  .groups_kept = static_cast<std::int32_t>(a.groups_kept),
                  .scale = a.scale,
                  .normalized = a.weighting == RouterWeights::normalized};
  const auto experts = static_cast<std::size_t>(args.experts);
  const auto groups = static_cast<std::size_t>(args.groups);
  const std::size_t shared_bytes = (2 * experts + groups) * sizeof(float) + experts + groups;
  return launch_early({.grid = static_cast<unsigned>(a.logits.size(0)),
                       .threads = device::kWarpThreads,
                       .shared_bytes = shared_bytes},
                      &router_kernel, stream, args);
}

}  // namespace glm::kernels::cuda
