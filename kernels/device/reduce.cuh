// Sums across threads.
#pragma once

namespace glm::kernels::device {

constexpr int kWarpThreads = 32;

__device__ inline float warp_sum(float value) {
  for (int offset = kWarpThreads / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xFFFFFFFFU, value, offset);
  }
  return value;
}

// The sum over a block of whole warps, the same in every thread. May be called repeatedly.
__device__ inline float block_sum(float value) {
  __shared__ float partial[32];
  const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  const int warps = static_cast<int>(blockDim.x) / kWarpThreads;
  value = warp_sum(value);
  __syncthreads();  // nobody still reads the partial sums of an earlier call
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  return warp_sum(lane < warps ? partial[lane] : 0.0F);
}

}  // namespace glm::kernels::device
