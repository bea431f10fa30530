// The ring of stages of product_flow.cu and expert_flow.cu, and who has what of a stage (sm_90a).
#pragma once

#include "kernels/cuda/flow_plan.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

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

// In the shared memory of a block.
__device__ inline FlowRing flow_ring(const FlowPlan& plan, const std::uint8_t* unaligned) {
  const std::uint32_t address = device::shared_address(unaligned);
  const std::uint32_t memory = (address + kFlowAlignment - 1) / kFlowAlignment * kFlowAlignment;
  const std::uint32_t barriers = memory + plan.barriers_at;
  return {.memory = memory,
          .full = barriers,
          .empty = barriers + 8U * static_cast<unsigned>(plan.stages),
          .stages = plan.stages,
          .stage_bytes = plan.stage,
          .rows_at = plan.rows_at};
}

// By one thread, before a __syncthreads().
__device__ inline void set_up_ring(const FlowRing& ring) {
#pragma unroll 1
  for (int i = 0; i < ring.stages; ++i) {
    device::barrier_set_up(ring.full + 8 * i, 1);
    device::barrier_set_up(ring.empty + 8 * i, kFlowWorkers / device::kWarpThreads);
  }
}

// By each worker, once it has used up the stage.
__device__ inline void leave_stage(FlowRing& ring) {
  if (threadIdx.x % device::kWarpThreads == 0) device::barrier_arrive(ring.empty + 8 * ring.stage);
  ring.next();
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

// Of a gated tile, which of its outputs that row is of.
__device__ inline int flow_gated_output(int weight_row) {
  return weight_row / kFlowGatedRows * (kFlowGatedRows / 2) + weight_row % 8;
}

#endif

}  // namespace glm::kernels::cuda
