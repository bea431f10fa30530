// How product_flow.cu, and in bf16 expert_flow.cu, multiply what lies in their stages: 128 bytes of
// each row of weights, and as many columns of activations, in boxes of kFlowDepth. Four warpgroups
// have 64 rows of weights each and all rows of activations (sm_90a).
#pragma once

#include "kernels/cuda/flow_ring.cuh"
#include "kernels/device/fp8.cuh"
#include "kernels/device/wgmma.cuh"
#include "kernels/device/wgmma_shared.cuh"

namespace glm::kernels::cuda {

struct FlowBf16 {
  static constexpr bool kScaled = false;
  static constexpr int kDepth = kFlowDepth;  // columns of a stage
  static constexpr int kBoxes = 1;
  static constexpr int kFewestRows = 8;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // sums += weights * activations of the next `steps` stages. By all workers.
  template <int kRows>
  __device__ static void multiply(FlowRing& ring, int weight_rows, int steps,
                                  float (&sums)[kRows / 2]) {
    const int group_row = static_cast<int>(threadIdx.x) / kFlowGroupThreads * kFlowGroupRows;
    const bool works = group_row < weight_rows;
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      device::barrier_wait(ring.full + 8 * ring.stage, ring.parity);
      if (works) {
        const std::uint32_t stage = ring.at(ring.stage);
        const std::uint64_t left =
            device::right_side(stage + static_cast<unsigned>(group_row) * kFlowRowBytes);
        const std::uint64_t right = device::right_side(stage + ring.rows_at);
        device::hold(sums);
        device::warpgroup_begin();
#pragma unroll
        for (int i = 0; i < kDepth / 16; ++i) {
          device::multiply_shared<kRows>(sums, left + 2 * i, right + 2 * i);
        }
        device::warpgroup_commit();
        device::warpgroup_wait<0>();
        device::hold(sums);
      }
      leave_stage(ring);
    }
  }
#endif
};

// e4m3, decoded in registers as the left side of products: exactly, as scales are left to the sums
// over a stage's columns.
struct FlowFp8 {
  static constexpr bool kScaled = true;
  static constexpr int kDepth = 128;
  static constexpr int kBoxes = kDepth / kFlowDepth;
  static constexpr int kFewestRows = 32;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  // The same with the scales of this thread's two rows of weights: scale(step), a float2.
  template <int kRows, class Scale>
  __device__ static void multiply(FlowRing& ring, int weight_rows, int steps, const Scale& scale,
                                  float (&sums)[kRows / 2]) {
    const int weight_row = flow_weight_row();
    const bool works = weight_row / kFlowGroupRows * kFlowGroupRows < weight_rows;
    float2 next = scale(0);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      const float scales[2] = {next.x, next.y};
      next = scale(min(step + 1, steps - 1));
      device::barrier_wait(ring.full + 8 * ring.stage, ring.parity);
      if (works) {
        const std::uint32_t stage = ring.at(ring.stage);
#pragma unroll 1
        for (int half = 0; half < kBoxes; ++half) {
          std::uint32_t left[4][4];
          decode(stage, weight_row, half, left);
          const std::uint32_t rows = stage + ring.rows_at + half * (kRows * kFlowRowBytes);
          // More sums at once have no room in registers.
#pragma unroll
          for (int some = 0; some < kRows / 32; ++some) {
            const std::uint64_t right = device::right_side(rows + some * (32 * kFlowRowBytes));
            float part[16] = {};
            device::hold(part);
            device::warpgroup_begin();
#pragma unroll
            for (int i = 0; i < 4; ++i) device::multiply_64<32>(part, left[i], right + 2 * i);
            device::warpgroup_commit();
            device::warpgroup_wait<0>();
            device::hold(part);
#pragma unroll
            for (int i = 0; i < 16; ++i) sums[16 * some + i] += part[i] * scales[i / 2 % 2];
          }
        }
      }
      leave_stage(ring);
    }
  }

 private:
  // Of 64 columns of both rows of weights, this lane's two of every eight.
  __device__ static void decode(std::uint32_t stage, int weight_row, int half,
                                std::uint32_t (&left)[4][4]) {
    const unsigned quarter = threadIdx.x % 4;
    const __nv_bfloat162 factors = __float2bfloat162_rn(0x1p120F);
#pragma unroll
    for (unsigned piece = 0; piece < 4; ++piece) {
      const unsigned chunk = (4 * static_cast<unsigned>(half) + piece) ^ weight_row % 8U;
      const std::uint32_t own =
          stage + static_cast<unsigned>(weight_row) * kFlowRowBytes + chunk * 16 + quarter / 2 * 4;
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) {
        std::uint32_t word = 0;
        asm volatile("ld.shared.u32 %0, [%1];\n"
                     : "=r"(word)
                     : "r"(own + i % 2 * 8 * kFlowRowBytes + i / 2 * 8));
        left[piece][i] = device::own_e4m3_pair(word, quarter, factors);
      }
    }
  }
#endif
};

}  // namespace glm::kernels::cuda
