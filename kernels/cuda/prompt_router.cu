// A block has sixteen tokens. Its warps share out the columns, add up through shared memory, and
// then each chooses for a token.
#include "kernels/cuda/aligned.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/prompt_router.h"
#include "kernels/cuda/router_choice.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kTokens = 16;  // of a block: rows of a product, and its warps
constexpr int kExpertsMax = 64;
constexpr int kEights = kExpertsMax / 8;
constexpr int kColumns = 32;  // that a warp multiplies at a time
constexpr int kPitch = kExpertsMax + 8;
constexpr std::size_t kSharedBytes = sizeof(float) * kTokens * kTokens * kPitch;
constexpr std::int64_t kTokensMoreThan = 64;

struct Args {
  RouterRule rule;
  const __nv_bfloat16* x;
  const __nv_bfloat16* router;  // [experts, hidden]
  float* logits;                // [tokens, experts]
  std::int32_t* ids;
  float* weights;
  std::int64_t x_stride;
  std::int32_t tokens;
  std::int32_t hidden;
};

__device__ uint4 octet(const __nv_bfloat16* at) {
  return *reinterpret_cast<const uint4*>(at);
}

// What this warp's columns give: rows l/4 and l/4 + 8, columns 2(l%4), + 1 of every eight experts.
__device__ void multiply(const Args& a, int first_token, float (&sums)[kEights][4]) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int columns = a.hidden / kTokens;
  // A lane has eight columns that lie together, of activations and of weights alike.
  const int begin = warp * columns + lane % 4 * 8;
  const auto row_of = [&](int token) {
    return a.x + min(first_token + token, a.tokens - 1) * a.x_stride + begin;
  };
  const __nv_bfloat16* upper = row_of(lane / 4);
  const __nv_bfloat16* lower = row_of(lane / 4 + 8);
  const __nv_bfloat16* experts[kEights];
#pragma unroll
  for (int n = 0; n < kEights; ++n) {
    const std::int64_t expert = min(8 * n + lane / 4, a.rule.experts - 1);
    experts[n] = a.router + expert * a.hidden + begin;
  }
#pragma unroll 2
  for (int c = 0; c < columns; c += kColumns) {
    const uint4 x = octet(upper + c);
    const uint4 y = octet(lower + c);
    uint4 w[kEights];
#pragma unroll
    for (int n = 0; n < kEights; ++n) w[n] = octet(experts[n] + c);
#pragma unroll
    for (int n = 0; n < kEights; ++n) {
      device::mma_16x8x16(sums[n], {x.x, y.x, x.y, y.y}, w[n].x, w[n].y);
      device::mma_16x8x16(sums[n], {x.z, y.z, x.w, y.w}, w[n].z, w[n].w);
    }
  }
}

__global__ void __launch_bounds__(kTokens* device::kWarpThreads, 1) prompt_router_kernel(Args a) {
  extern __shared__ float parts[];  // [warps, tokens, kPitch]
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int first_token = static_cast<int>(blockIdx.x) * kTokens;
  device::wait_for_earlier_kernels();
  float sums[kEights][4] = {};
  multiply(a, first_token, sums);
#pragma unroll
  for (int n = 0; n < kEights; ++n) {
    float* to = parts + (warp * kTokens + lane / 4) * kPitch + 8 * n + 2 * (lane % 4);
    *reinterpret_cast<float2*>(to) = {sums[n][0], sums[n][1]};
    *reinterpret_cast<float2*>(to + 8 * kPitch) = {sums[n][2], sums[n][3]};
  }
  __syncthreads();  // the parts of all warps are there
  const std::int64_t token = first_token + warp;
  if (token < a.tokens) {
    float logits[2] = {};
    float bias[2] = {};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int expert = lane + i * device::kWarpThreads;
      if (expert >= a.rule.experts) continue;
#pragma unroll
      for (int part = 0; part < kTokens; ++part) {
        logits[i] += parts[(part * kTokens + warp) * kPitch + expert];
      }
      a.logits[token * a.rule.experts + expert] = logits[i];
      if (a.rule.bias != nullptr) bias[i] = a.rule.bias[expert];
    }
    __syncwarp();  // all experts have logits
    choose_of_few(a.rule, logits, bias, a.ids + token * a.rule.chosen,
                  a.weights + token * a.rule.chosen);
  }
  // Not before: blocks of the next kernel would wait where others want to begin.
  device::let_later_kernels_start();
}

}  // namespace

bool supports_prompt_router(const MoeLayer& a) {
  const RouterRule rule = router_rule(a.choice());
  const bool few = rule.experts <= kExpertsMax && rule.groups == 1 &&
                   rule.chosen <= static_cast<int>(device::kWarpThreads);
  const std::int64_t hidden = a.x.size(1);
  return a.x.size(0) > kTokensMoreThan && a.x.dtype == Dtype::bf16 && few &&
         a.router.layout.format == WeightFormat::bf16 && aligned(a.router.data) &&
         hidden % (kTokens * kColumns) == 0 && aligned(a.x.data) && a.x.stride(0) % 8 == 0 &&
         has_bulk_copies();
}

cudaError_t launch_prompt_router(const MoeLayer& a, cudaStream_t stream) {
  const auto tokens = static_cast<std::int32_t>(a.x.size(0));
  const Args args{.rule = router_rule(a.choice()),
                  .x = a.x.as<__nv_bfloat16>(),
                  .router = static_cast<const __nv_bfloat16*>(a.router.data),
                  .logits = a.logits.as<float>(),
                  .ids = a.ids.as<std::int32_t>(),
                  .weights = a.weights.as<float>(),
                  .x_stride = a.x.stride(0),
                  .tokens = tokens,
                  .hidden = static_cast<std::int32_t>(a.x.size(1))};
  if (const cudaError_t code = cudaFuncSetAttribute(
          &prompt_router_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>((tokens + kTokens - 1) / kTokens),
                       .threads = kTokens * device::kWarpThreads,
                       .shared_bytes = kSharedBytes},
                      &prompt_router_kernel, stream, args);
}

}  // namespace glm::kernels::cuda
