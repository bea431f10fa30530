// How the sums of a team's warps over their columns come to the warp that adds them
// (groups_units.cuh): through shared memory, so that they go on meanwhile.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/groups_plan.h"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {

// Of a team; and where in it somebody is.
class GroupsSums {
 public:
  __device__ GroupsSums(const GroupsPlan& plan, std::uint8_t* memory, int team)
      : full_(device::shared_address(memory + plan.sum_barriers_at) +
              16 * static_cast<unsigned>(team)),
        empty_(full_ + 8),
        sums_(reinterpret_cast<float4*>(memory + plan.sums_at) + team * kBufferedSums +
              lane_index()) {}

  // By one thread, for all.
  __device__ void set_up() const {
    device::barrier_set_up(full_, kTeamWarps);
    device::barrier_set_up(empty_, 1);
  }

  // By each warp of the team: what it has of the next slab.
  __device__ void leave(int warp, const float (&own)[2][4]) {
    // Of the slab before: nothing to wait for in the first.
    device::barrier_wait(empty_, parity_ ^ 1U);
    float4* to = sums_ + warp * 2 * device::kWarpThreads;
    to[0] = {own[0][0], own[0][1], own[0][2], own[0][3]};
    to[device::kWarpThreads] = {own[1][0], own[1][1], own[1][2], own[1][3]};
    __syncwarp();  // all lanes have written
    if (lane_index() == 0) device::barrier_arrive(full_);
    parity_ ^= 1U;
  }

  // By the warp that adds: the sum of the next slab over the team's warps, in their order.
  __device__ void take(float (&total)[2][4]) {
    device::barrier_wait(full_, parity_);
    float4 parts[kTeamWarps][2];
#pragma unroll
    for (int warp = 0; warp < kTeamWarps; ++warp) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        parts[warp][half] = sums_[(2 * warp + half) * device::kWarpThreads];
      }
    }
    __syncwarp();  // all lanes have read
    if (lane_index() == 0) device::barrier_arrive(empty_);
    parity_ ^= 1U;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int warp = 0; warp < kTeamWarps; ++warp) {
        const float4& part = parts[warp][half];
        total[half][0] = warp == 0 ? part.x : total[half][0] + part.x;
        total[half][1] = warp == 0 ? part.y : total[half][1] + part.y;
        total[half][2] = warp == 0 ? part.z : total[half][2] + part.z;
        total[half][3] = warp == 0 ? part.w : total[half][3] + part.w;
      }
    }
  }

 private:
  std::uint32_t full_;  // barriers
  std::uint32_t empty_;
  float4* sums_;  // of this lane
  unsigned parity_ = 0;
};

}  // namespace glm::kernels::cuda
