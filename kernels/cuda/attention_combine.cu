#include "kernels/cuda/attention_combine.h"

#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr std::int64_t kRowsOfBlock = 32;
constexpr std::int64_t kValueDim = 512;

__global__ void combine_kernel(device::AttentionPartial partial, device::AttentionHeads heads) {
  extern __shared__ float weights[];  // of the splits
  const int token = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  for (int s = static_cast<int>(threadIdx.x); s < partial.splits;
       s += static_cast<int>(blockDim.x)) {
    weights[s] = partial.log_sum(token, s, head);
  }
  __syncthreads();  // logarithms of all splits
  float highest = -INFINITY;
  for (int s = 0; s < partial.splits; ++s) highest = fmaxf(highest, weights[s]);
  float total = 0;
  for (int s = 0; s < partial.splits; ++s) total += exp2f(weights[s] - highest);
  const float scale = 1.0F / total;
  const std::int64_t split_stride = static_cast<std::int64_t>(partial.heads) * partial.value_dim;
  const float* values = partial.value(token, 0, head);
  for (int c = 4 * static_cast<int>(threadIdx.x); c < partial.value_dim;
       c += 4 * static_cast<int>(blockDim.x)) {
    float4 sum = {};
#pragma unroll 4
    for (int s = 0; s < partial.splits; ++s) {
      const float weight = exp2f(weights[s] - highest) * scale;
      const float4 part = *reinterpret_cast<const float4*>(values + s * split_stride + c);
      sum.x += weight * part.x;
      sum.y += weight * part.y;
      sum.z += weight * part.z;
      sum.w += weight * part.w;
    }
    *reinterpret_cast<uint2*>(heads.result(token, head) + c) = {
        device::bf16_pair(sum.x, sum.y), device::bf16_pair(sum.z, sum.w)};
  }
}

}  // namespace

std::uint64_t attention_workspace_bytes(int multiprocessors) {
  return static_cast<std::uint64_t>(kSplitBlocksPerMultiprocessor * multiprocessors *
                                    kRowsOfBlock * (kValueDim + 1)) *
         sizeof(float);
}

std::int64_t splits_max(const AttentionWorkspace& workspace, const device::AttentionHeads& heads,
                        std::int64_t value_dim) {
  const std::int64_t floats =
      static_cast<std::int64_t>(attention_workspace_bytes(workspace.multiprocessors) /
                                sizeof(float));
  const std::int64_t of_split = static_cast<std::int64_t>(heads.tokens) * heads.heads *
                                (value_dim + 1);
  constexpr std::int64_t kMost = 256;
  return std::clamp<std::int64_t>(floats / of_split, 1, kMost);
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
  const dim3 grid(static_cast<unsigned>(heads.tokens), static_cast<unsigned>(heads.heads));
  const unsigned threads = partial.value_dim >= 512 ? 128 : 32;
  combine_kernel<<<grid, threads, static_cast<std::size_t>(partial.splits) * sizeof(float),
                   stream>>>(partial, heads);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
