// The ring of stages of product_flow.cu and expert_flow.cu, and the products that use it up: four
// warpgroups have 64 rows of a stage's weights each and all its rows of activations (sm_90a).
#pragma once

#include "kernels/cuda/flow_plan.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/wgmma.cuh"
#include "kernels/device/wgmma_shared.cuh"

namespace glm::kernels::cuda {

constexpr int kFlowGroups = kFlowTileRows / kFlowGroupRows;
constexpr int kFlowGroupThreads = 128;
constexpr int kFlowWorkers = kFlowGroups * kFlowGroupThreads;
constexpr int kFlowThreads = kFlowWorkers + device::kWarpThreads;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct FlowRing {
  std::uint32_t memory;
  std::uint32_t full;  // barriers
  std::uint32_t empty;
  int stages;
  unsigned stage_bytes;
  unsigned rows_at;  // of activations, in a stage
  int stage = 0;
  unsigned parity = 0;

  __device__ std::uint32_t at(int which) const {
    return memory + static_cast<unsigned>(which) * stage_bytes;
  }
  __device__ void next() {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1U;
    }
  }
};

// By one thread, before a __syncthreads().
__device__ inline void set_up_ring(const FlowRing& ring) {
#pragma unroll 1
  for (int i = 0; i < ring.stages; ++i) {
    device::barrier_set_up(ring.full + 8 * i, 1);
    device::barrier_set_up(ring.empty + 8 * i, kFlowWorkers / device::kWarpThreads);
  }
}

// sums += weights * activations of the next `steps` stages. By all workers.
template <int kRows>
__device__ inline void flow_multiply(FlowRing& ring, int weight_rows, int steps,
                                     float (&sums)[kRows / 2]) {
  const int group_row = static_cast<int>(threadIdx.x) / kFlowGroupThreads * kFlowGroupRows;
  const bool works = group_row < weight_rows;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    device::barrier_wait(ring.full + 8 * ring.stage, ring.parity);
    if (works) {
      const std::uint32_t stage = ring.at(ring.stage);
      const std::uint64_t left =
          device::right_side(stage + static_cast<unsigned>(group_row) * (kFlowDepth * 2));
      const std::uint64_t right = device::right_side(stage + ring.rows_at);
      device::hold(sums);
      device::warpgroup_begin();
#pragma unroll
      for (int i = 0; i < kFlowDepth / 16; ++i) {
        device::multiply_shared<kRows>(sums, left + 2 * i, right + 2 * i);
      }
      device::warpgroup_commit();
      device::warpgroup_wait<0>();
      device::hold(sums);
    }
    if (lane == 0) device::barrier_arrive(ring.empty + 8 * ring.stage);
    ring.next();
  }
}

// Of which row of activations sums[i] of this thread is.
__device__ inline int flow_row_of(int i) {
  return i / 4 * 8 + 2 * (static_cast<int>(threadIdx.x) % 4) + i % 2;
}
// Of the tile's rows of weights, the first of this thread's two, which are eight apart: the second
// is that of sums[i] with i / 2 odd.
__device__ inline int flow_weight_row() {
  return static_cast<int>(threadIdx.x) / device::kWarpThreads * 16 +
         static_cast<int>(threadIdx.x) % device::kWarpThreads / 4;
}

#endif

}  // namespace glm::kernels::cuda
