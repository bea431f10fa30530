#include "kernels/cuda/attention_combine.h"

#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr std::int64_t kRowsOfBlock = 32;
constexpr std::int64_t kValueDim = 512;
constexpr int kSplitsMost = 256;
constexpr int kThreads = 128;

// A thread takes four columns and every so-many-th split: `lanes` threads side by side cover the
// block's columns, and the groups of them share the splits.
__global__ void __launch_bounds__(kThreads)
    combine_kernel(device::AttentionPartial partial, device::AttentionHeads heads, int lanes) {
  __shared__ float weights[kSplitsMost];
  __shared__ float4 sums[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int token = static_cast<int>(blockIdx.z);
  const int group = thread / lanes;
  const int groups = kThreads / lanes;
  const int column = (static_cast<int>(blockIdx.x) * lanes + thread % lanes) * 4;

  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  // Every warp finds highest and total by itself; together they leave the weights.
  float highest = -INFINITY;
  for (int s = thread % 32; s < partial.splits; s += 32) {
    highest = fmaxf(highest, partial.log_sum(token, s, head));
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFU, highest, offset));
  }
  float total = 0;
  int used = 0;  // splits that saw something; the others come last
  for (int s = thread % 32; s < partial.splits; s += 32) {
    const float log_sum = partial.log_sum(token, s, head);
    total += device::exp2_approx(log_sum - highest);
    if (log_sum != -INFINITY) used = s + 1;
  }
  total = device::warp_sum(total);
  used = __reduce_max_sync(0xFFFFFFFFU, used);
  for (int s = thread; s < used; s += kThreads) {
    weights[s] = device::exp2_approx(partial.log_sum(token, s, head) - highest) / total;
  }
  __syncthreads();  // weights

  const std::int64_t stride = static_cast<std::int64_t>(partial.heads) * partial.value_dim;
  const float* values = partial.value(token, 0, head) + column;
  float4 sum = {};
#pragma unroll 4
  for (int s = group; s < used; s += groups) {
    const float4 part = *reinterpret_cast<const float4*>(values + s * stride);
    sum.x += weights[s] * part.x;
    sum.y += weights[s] * part.y;
    sum.z += weights[s] * part.z;
    sum.w += weights[s] * part.w;
  }
  sums[thread] = sum;
  __syncthreads();  // sums of all groups
  if (group > 0) return;
  for (int g = 1; g < groups; ++g) {
    const float4 part = sums[g * lanes + thread];
    sum.x += part.x;
    sum.y += part.y;
    sum.z += part.z;
    sum.w += part.w;
  }
  *reinterpret_cast<uint2*>(heads.result(token, head) + column) = {device::bf16_pair(sum.x, sum.y),
                                                                   device::bf16_pair(sum.z, sum.w)};
}

}  // namespace

std::uint64_t attention_workspace_bytes(int multiprocessors) {
  return static_cast<std::uint64_t>(kSplitBlocksPerMultiprocessor * multiprocessors * kRowsOfBlock *
                                    (kValueDim + 1)) *
         sizeof(float);
}

std::int64_t splits_max(const AttentionWorkspace& workspace, const device::AttentionHeads& heads,
                        std::int64_t value_dim) {
  const std::int64_t floats = static_cast<std::int64_t>(
      attention_workspace_bytes(workspace.multiprocessors) / sizeof(float));
  const std::int64_t of_split =
      static_cast<std::int64_t>(heads.tokens) * heads.heads * (value_dim + 1);
  return std::clamp<std::int64_t>(floats / of_split, 1, kSplitsMost);
}

device::AttentionPartial attention_partial(const AttentionWorkspace& workspace,
                                           const device::AttentionHeads& heads, std::int64_t splits,
                                           std::int64_t value_dim) {
  const std::int64_t rows = heads.tokens * splits * heads.heads;
  return {.values = workspace.partial,
          .log_sums = workspace.partial + rows * value_dim,
          .splits = static_cast<int>(splits),
          .heads = heads.heads,
          .value_dim = static_cast<int>(value_dim)};
}

cudaError_t launch_attention_combine(const device::AttentionPartial& partial,
                                     const device::AttentionHeads& heads, cudaStream_t stream) {
  // Many splits: few columns a block, so that splits are read side by side and blocks are many.
  const int most = partial.splits >= 16 ? 16 : partial.splits >= 4 ? 32 : kThreads;
  const int lanes = std::min(most, partial.value_dim / 4);
  const dim3 grid(static_cast<unsigned>(partial.value_dim / 4 / lanes),
                  static_cast<unsigned>(heads.heads), static_cast<unsigned>(heads.tokens));
  return launch_early({.grid = grid, .threads = kThreads}, &combine_kernel, stream, partial, heads,
                      lanes);
}

}  // namespace glm::kernels::cuda
