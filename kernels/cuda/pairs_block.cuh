// Blocks of product_pairs.cu: where things lie in shared memory, and what is copied there.
#pragma once

#include "kernels/cuda/pairs_plan.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::cuda::pairs {

constexpr int kGroupThreads = 128;
constexpr int kThreads = kPairGroups * kGroupThreads;
constexpr int kFetchThread = kThreads - device::kWarpThreads;
constexpr int kFours = kPairOutputs / 4;  // of a row of results

struct PairBlock {
  int tile;  // of outputs
  int part;  // of the columns
  int head;
  int rank;    // in its pair
  float unit;  // of the weights
  std::uint32_t memory;

  // Of the block with the same outputs and another part of the columns, in its cluster.
  __device__ int rank_of(int other_part) const { return other_part * kPairBlocks + rank; }

  __device__ std::uint32_t received(const PairPlan& plan) const {
    return memory + plan.barriers_at + 16U * static_cast<unsigned>(plan.units);
  }
  __device__ std::uint32_t weights_full(const PairPlan& plan, int unit) const {
    return memory + plan.barriers_at + 16U * static_cast<unsigned>(unit);
  }
  __device__ std::uint32_t rows_full(const PairPlan& plan, int unit) const {
    return weights_full(plan, unit) + 8;
  }
  // Whether its outputs are those of `up`.
  __device__ bool is_rest(const Product& a) const {
    return a.joined_at > 0 && tile * kPairOutputs >= a.joined_at;
  }
  // Pairs begin with different columns, so that they do not all read the same at a time.
  __device__ int first_unit(int units) const { return tile / kPairBlocks % units; }
};
__device__ inline int unit_behind(int unit, int units) {
  return unit + 1 < units ? unit + 1 : 0;
}

// By a warp, whose lanes have a unit each.
__device__ inline void fetch_weights(const Product& a, const PairPlan& plan, const PairMaps& maps,
                                     const PairBlock& block) {
  const std::uint64_t policy = device::read_once_policy();
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  if (lane == 0) device::prefetch_map(maps.rows);
  const auto joined_at = static_cast<int>(a.joined_at);
  const bool rest = block.is_rest(a);
  const PairWeightMaps& own = maps.of[rest ? 1 : 0];
  const unsigned half_bytes = kPairHalfWeights * plan.bits / 8;
  const bool scales = plan.bits == 4;
  const int first_row = block.head * static_cast<int>(a.weight_rows_per_group) +
                        block.tile * kPairOutputs - (rest ? joined_at : 0);
#pragma unroll 1
  for (int turn = lane; turn < plan.units; turn += device::kWarpThreads) {
    const int unit = (block.first_unit(plan.units) + turn) % plan.units;
    const std::uint32_t full = block.weights_full(plan, unit);
    const int in_row = block.part * plan.units + unit;
    device::barrier_arrive_expecting(full,
                                     kPairGroups * half_bytes + (scales ? kPairScalesBytes : 0));
    device::barrier_arrive_expecting(block.rows_full(plan, unit), kPairUnitBoxes * plan.box);
#pragma unroll
    for (int half = 0; half < kPairGroups; ++half) {
      device::copy_box(block.memory + static_cast<unsigned>(unit * kPairGroups + half) * half_bytes,
                       own.weights,
                       {(in_row * kPairGroups + half) * static_cast<int>(kPairHalf * plan.bits / 8),
                        first_row, 0},
                       full, policy);
    }
    if (!scales) continue;
    device::copy_box(block.memory + plan.scales_at + static_cast<unsigned>(unit) * kPairScalesBytes,
                     own.scales, {in_row * static_cast<int>(kPairScaleRowBytes), first_row, 0},
                     full, policy);
  }
}

// To both blocks of the pair, which have barriers set up: by a warp.
__device__ inline void fetch_rows(const PairPlan& plan, const PairMaps& maps,
                                  const PairBlock& block) {
  constexpr int kOwnBoxes = kPairUnitBoxes / kPairBlocks;  // of a unit
#pragma unroll 1
  for (int turn = static_cast<int>(threadIdx.x) % device::kWarpThreads;
       turn < plan.units * kOwnBoxes; turn += device::kWarpThreads) {
    const int unit = (block.first_unit(plan.units) + turn / kOwnBoxes) % plan.units;
    const int box = unit * kPairUnitBoxes + turn % kOwnBoxes * kPairBlocks + block.rank;
    device::copy_box_to_blocks(
        block.memory + plan.rows_at + static_cast<unsigned>(box) * plan.box_pitch, maps.rows,
        {(block.part * plan.units * kPairUnitBoxes + box) * kPairBox, 0, block.head},
        block.rows_full(plan, unit),
        ((1U << kPairBlocks) - 1) << (plan.together ? block.part * kPairBlocks : 0));
  }
}

}  // namespace glm::kernels::cuda::pairs
