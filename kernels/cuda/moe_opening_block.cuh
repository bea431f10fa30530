// A block of moe_opening.cu: where its things lie, and what it copies there (sm_90a only).
#pragma once

#include "kernels/cuda/moe_opening_plan.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/counters.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/tensor_copy.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {

constexpr int kOpeningGroupWarps = 4;  // that multiply: a warpgroup

struct OpeningBlock {
  const OpeningMaps& maps;
  const OpeningArgs& a;
  const OpeningPlan& plan;
  std::uint32_t memory;
  int pair;
  int rank;

  __device__ bool routes() const { return pair == plan.router_pair; }
  __device__ bool has_first() const { return pair < plan.first_pairs || routes(); }
  __device__ bool has_second() const { return pair < plan.second_pairs; }
  __device__ std::uint32_t barrier(int kind, int i = 0) const {
    return memory + plan.barriers_at + 8U * static_cast<unsigned>(kind + i);
  }
  __device__ std::uint32_t first(int step) const {
    return memory + static_cast<unsigned>(step) * kOpeningFirstBytes;
  }
  __device__ std::uint32_t second(int step) const {
    return memory + plan.second_at + static_cast<unsigned>(step) * kOpeningSecondBytes;
  }
  __device__ std::uint32_t slot(int number) const {
    return memory + plan.slots_at + static_cast<unsigned>(number) * plan.slot;
  }
  // Activations of the second half take the place of the first weights.
  __device__ std::uint32_t inner(int step) const {
    return memory + static_cast<unsigned>(step) * kOpeningRowsBytes;
  }
  // Pairs begin with different columns, so that they do not all read the same at a time.
  __device__ int first_step(int steps) const { return pair % steps; }
  __device__ static int behind(int i, int count) { return i + 1 < count ? i + 1 : 0; }
  __device__ int column_of(int step, int steps) const {
    return (rank * steps + step) * kOpeningDepth;
  }
};

__device__ inline void ask_for_first(const OpeningBlock& block, int step) {
  const std::uint32_t full = block.barrier(kFull, step);
  const std::uint64_t policy = device::read_once_policy();
  const int column = block.column_of(step, block.plan.first_steps);
  device::barrier_arrive_expecting(full, kOpeningFirstBytes + block.plan.slot);
  if (block.routes()) {
    return device::copy_box(block.first(step), block.maps.router, {column, 0, 0}, full);
  }
  const int unit = block.pair * kOpeningUnits;
  device::copy_box(block.first(step), block.maps.gate, {column, unit, 0}, full, policy);
  device::copy_box(block.first(step) + kOpeningFirstBytes / 2, block.maps.up, {column, unit, 0},
                   full, policy);
}

__device__ inline void ask_for_second(const OpeningBlock& block, int step) {
  const std::uint32_t full = block.barrier(kSecond, step);
  device::barrier_arrive_expecting(full, kOpeningSecondBytes + block.plan.slot);
  device::copy_box(
      block.second(step), block.maps.down,
      {block.column_of(step, block.plan.second_steps), block.pair * kOpeningSecondRows, 0}, full,
      device::read_once_policy());
}

// By a warp.
__device__ inline void fetch(const OpeningBlock& block) {
  const OpeningPlan& plan = block.plan;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const auto ask_for_rows = [&](int turn) {
    const int step = (block.first_step(plan.first_steps) + turn) % plan.first_steps;
    device::copy_box(block.slot(turn % plan.slots), block.maps.x,
                     {block.column_of(step, plan.first_steps), 0, 0}, block.barrier(kFull, step));
  };
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (!block.has_first()) return;
  for (int turn = lane; turn < min(plan.slots, plan.first_steps); turn += device::kWarpThreads) {
    ask_for_rows(turn);
  }
  for (int turn = plan.slots; lane == 0 && turn < plan.first_steps; ++turn) {
    device::barrier_wait(block.barrier(kUsed, turn - plan.slots), 0);
    ask_for_rows(turn);
  }
}

// By one thread of each warp that multiplies, after it has done with the first half: what all
// blocks have of it, where the first weights were.
__device__ inline void fetch_inner(const OpeningBlock& block, int warp) {
  const OpeningPlan& plan = block.plan;
  if (warp >= plan.second_steps) return;
  // No product of another warp still reads there.
  if (block.has_first()) device::barrier_wait(block.barrier(kUsed, plan.first_steps - 1), 0);
  // All blocks run at once. No assert(): where a function is called, products do not overlap.
  const auto all = 2U * static_cast<unsigned>(plan.first_pairs);
  if (!device::wait_at_least(&block.a.progress->halves, all)) __trap();
  device::memory_is_written();
  int step = block.first_step(plan.second_steps);
  for (int turn = 0; turn < plan.second_steps; ++turn) {
    if (turn % kOpeningGroupWarps == warp) {
      device::copy_box(block.inner(step), block.maps.inner,
                       {block.column_of(step, plan.second_steps), 0, 0},
                       block.barrier(kSecond, step));
    }
    step = OpeningBlock::behind(step, plan.second_steps);
  }
}

}  // namespace glm::kernels::cuda
