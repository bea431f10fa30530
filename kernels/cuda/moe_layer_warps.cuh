// What the warps of a block of moe_layer.cu do, and where they meet.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/moe_layer.h"

namespace glm::kernels::cuda {

// The first warps multiply: the workers, in teams. Of the others, the servants, the first fetches
// weights; those after it choose experts. Then the last one watches what other blocks have done,
// the one before it lists what experts are wanted and tells other blocks what this one has done,
// and of many tokens the other one fetches as well.
constexpr int kWorkers = kMoeWarps * device::kWarpThreads;
constexpr int kServants = kMoeServants * device::kWarpThreads;
constexpr int kChooserWarps = kMoeServants - 1;
constexpr int kFirstChooser = kMoeWarps + 1;
constexpr int kWatcher = kMoeWarps + kMoeServants - 1;
constexpr int kTeller = kWatcher - 1;
constexpr int kFetchersMax = 2;       // divides the stages: of each, one warp has all fillings
constexpr int kOneFetcherTokens = 3;  // of so few one warp keeps up, and more would be in the way

// Named barriers; the first is everybody's.
constexpr int kWorkersBarrier = 1;
constexpr int kPreparedBarrier = kWorkersBarrier + 1;
constexpr int kFetchersBarrier = kWorkersBarrier + 2;

__device__ inline void workers_meet() {
  device::sync_threads(kWorkersBarrier, kWorkers);
}

__device__ inline int warp_index() {
  return static_cast<int>(threadIdx.x) / device::kWarpThreads;
}

// Of what is to be known.
__device__ inline std::uint32_t known_barrier(const MoePlan& plan, const std::uint8_t* memory,
                                              unsigned what) {
  return device::shared_address(memory + plan.known_at) + 8 * what;
}
// Of a block's own workers, all warps.
__device__ inline std::uint32_t through_barrier(const MoePlan& plan, const std::uint8_t* memory,
                                                unsigned task) {
  return device::shared_address(memory + plan.through_at) + 8 * task;
}
// Of the shared expert's second half. Its stages have other barriers than theirs: all teams wait
// for them, and one may be rounds of its own stages ahead of another.
__device__ inline std::uint32_t shared_full_barrier(const MoePlan& plan, const std::uint8_t* memory,
                                                    int quad) {
  return device::shared_address(memory + plan.shared_full_at) + 8 * static_cast<unsigned>(quad);
}
// All barriers in shared memory. Some by each warp, and there by one lane: what lanes of a warp set
// up follows each other, and each takes long.
__device__ inline void set_up_barriers(const MoePlan& plan, std::uint8_t* memory, int tokens) {
  if (lane_index() > 0) return;
  constexpr int kOfTeams = kMoeTeams * kBuffers;
  const int of_stages = 2 * plan.stages;
  constexpr int kOthers = kMoeKnown + kMoeTasks + kQuads;
#pragma unroll 1
  for (int i = warp_index(); i < of_stages + kOfTeams + kOthers; i += kMoeWarps + kMoeServants) {
    std::uint32_t barrier = device::shared_address(memory + plan.barriers_at) + 8 * i;
    int arrivals = i < plan.stages ? 1 : kTeamWarps;
    if (i >= of_stages) {
      barrier = device::shared_address(memory + plan.team_barriers_at) + 8 * (i - of_stages);
      arrivals = kTeamWarps - 1;
    }
    if (i >= of_stages + kOfTeams) {
      const auto what = static_cast<unsigned>(i - of_stages - kOfTeams);
      barrier = known_barrier(plan, memory, what);
      // Of the choice it is two that say so: who lists it, and the watcher.
      arrivals = what == kAllChose ? tokens : what == kChoiceKnown ? 2 : 1;
      if (what >= kMoeKnown) {
        barrier = through_barrier(plan, memory, what - kMoeKnown);
        arrivals = kMoeWarps;
      }
      if (what >= kMoeKnown + kMoeTasks) {
        barrier = shared_full_barrier(plan, memory, static_cast<int>(what - kMoeKnown - kMoeTasks));
        arrivals = 1;
      }
    }
    device::barrier_set_up(barrier, static_cast<unsigned>(arrivals));
  }
  device::barriers_are_set_up();
}

// For whoever has met the others that found out.
__device__ inline void make_known(const MoePlan& plan, const std::uint8_t* memory, unsigned what) {
  __syncwarp();  // all lanes are through
  if (lane_index() == 0) device::barrier_arrive(known_barrier(plan, memory, what));
}
__device__ inline void wait_to_know(const MoePlan& plan, const std::uint8_t* memory,
                                    unsigned what) {
  device::barrier_wait(known_barrier(plan, memory, what), 0);
}
// A warp of the workers is through with a task, and what its lanes have stored may be told.
__device__ inline void is_through(const MoePlan& plan, const std::uint8_t* memory, unsigned task) {
  __syncwarp();  // all lanes are
  if (lane_index() == 0) device::barrier_arrive(through_barrier(plan, memory, task));
}

}  // namespace glm::kernels::cuda
