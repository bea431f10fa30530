// Products of moe_layer.cu with slabs in e4m3: exact in bf16, as scales, which are read from
// memory, are left to the sums over a chunk.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/device/fp8.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {

struct BulkFp8 {
  static constexpr int kParts = 1;  // of the memory format, as stages have it
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
};

// Of a slab, whose halves are eight rows of a weight from some row on. In blocks each lane has
// those of one chunk; else those of its own rows.
class Fp8SlabScales {
 public:
  __device__ Fp8SlabScales(const device::Weight& upper, int upper_row, const device::Weight& lower,
                           int lower_row)
      : in_blocks_(upper.groups > 1) {
    const auto lane = static_cast<unsigned>(lane_index());
    const std::uint32_t column = in_blocks_ ? lane * kChunk : 0;
    const int own = in_blocks_ ? 0 : weight_row(static_cast<int>(lane) / 4);
    if (column >= upper.cols) return;
    of_[0] = device::fp8_scale(upper, upper_row + own, column).value();
    of_[1] = device::fp8_scale(lower, lower_row + own, column).value();
  }
  // Of a half in a chunk.
  __device__ float at(int half, int chunk) const {
    return in_blocks_ ? __shfl_sync(kFullWarp, of_[half], chunk) : of_[half];
  }

 private:
  bool in_blocks_;
  float of_[2] = {};
};

// As multiply_slab() of moe_layer_math.cuh.
template <class Octet>
__device__ inline void multiply_fp8_slab(const BulkPlan& plan, const std::uint8_t* stage, int first,
                                         int step, int chunks, const Fp8SlabScales& scales,
                                         const Octet& octet, float (&sums)[4]) {
  const auto lane = static_cast<unsigned>(lane_index());
  const std::uint8_t* rows[2];
#pragma unroll
  for (unsigned half = 0; half < 2; ++half) {
    rows[half] = stage + plan.at[kData] + (2 * half + lane / 4 % 2) * plan.quad[kData] +
                 lane / 8 * plan.row[kData] + lane % 4 * 32;
  }
  const __nv_bfloat162 factors = __float2bfloat162_rn(0x1p120F);
#pragma unroll 1
  for (int chunk = first; chunk < chunks; chunk += step * kTeamWarps) {
    float own[2][4] = {};  // two chains, as each product waits for the one before
#pragma unroll
    for (int two = 0; two < 2; ++two) {
      uint4 bytes[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        bytes[half] = *reinterpret_cast<const uint4*>(rows[half] + chunk * kChunk + two * 16);
      }
#pragma unroll
      for (int odd = 0; odd < 2; ++odd) {
        std::uint32_t pairs[2][4];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t front = odd == 0 ? bytes[half].x : bytes[half].z;
          const std::uint32_t back = odd == 0 ? bytes[half].y : bytes[half].w;
#pragma unroll
          for (unsigned i = 0; i < 4; ++i) {
            pairs[half][i] = device::e4m3_pair(device::e4m3_of_both(front, back, i), factors);
          }
        }
        const std::uint32_t left[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
        const std::uint32_t right[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
        const uint4 x = octet(chunk, 2 * two + odd);
        device::mma_16x8x16(own[0], left, x.x, x.y);
        device::mma_16x8x16(own[1], right, x.z, x.w);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float scale = scales.at(half, chunk);
#pragma unroll
      for (int e = 2 * half; e < 2 * half + 2; ++e) {
        sums[e] = fmaf(own[0][e] + own[1][e], scale, sums[e]);
      }
    }
  }
}

}  // namespace glm::kernels::cuda
