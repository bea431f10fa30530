// What blocks of moe_layer.cu tell each other: counts in memory, and the warp of each block that
// watches them.
#pragma once

#include <cassert>

#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_routing.cuh"
#include "kernels/cuda/moe_layer_stages.cuh"
#include "kernels/cuda/moe_layer_warps.cuh"

#ifdef NDEBUG
// What assert() is made of; headers declare it only where that is on.
extern "C" __host__ __device__ void __assert_fail(const char* assertion, const char* file,
                                                  unsigned line, const char* function) noexcept;
#endif

namespace glm::kernels::cuda {

// The uppermost bit of a count, which changes when all are through (moe_workspace.h).
constexpr std::uint32_t kPhase = 1U << 31U;

// What was written before can be read by whoever has seen the phase change. `first`: one of them.
__device__ inline void add_to(std::uint32_t* count, bool first, int all) {
  const std::uint32_t value = first ? kPhase - static_cast<std::uint32_t>(all - 1) : 1U;
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;\n" ::"l"(count), "r"(value) : "memory");
}

__device__ inline std::uint32_t phase_of(const std::uint32_t* count) {
  std::uint32_t value = 0;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];\n" : "=r"(value) : "l"(count) : "memory");
  return value & kPhase;
}

// What should come within microseconds. When it has not after so many looks, ten seconds and more,
// it never will: the kernel ends with an error that says so.
constexpr unsigned kLooksMax = 1U << 25U;
__device__ inline void wait_for_change(const std::uint32_t* count, std::uint32_t phase) {
#pragma unroll 1
  for (unsigned looks = 0; phase_of(count) == phase; ++looks) {
    if (looks < kLooksMax) continue;
    __assert_fail("all blocks of moe_layer run at once", "kernels/cuda/moe_layer_watch.cuh", 0,
                  "wait_for_change");
  }
}

// The watcher's first task, before its block has anything to add to a count.
__device__ inline void note_phases(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  if (lane_index() != 0) return;
  auto* phases = reinterpret_cast<MoeProgress*>(memory + plan.phases_at);
  *phases = {.wide = phase_of(&a.progress->wide), .halves = phase_of(&a.progress->halves)};
}

// Makes it known that all blocks are through with the first halves. Then what tokens have of each
// expert comes to shared memory: of one token to where the expert's weights are, of others to where
// activations were, as long as there is room. A lane has one expert of thirty-two. A stage may be
// filled when the item before in it has been used up: of the barrier's phases only the last two can
// be told apart, and what is known of the items before is enough where there are eight stages or
// more, or one slab of outputs.
__device__ inline void send_rows(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  // Written by other blocks, and read by copies.
  asm volatile("fence.proxy.async;\n" ::: "memory");
  const MoeRouting routing(memory, plan, a.rule.experts);
  const int lane = lane_index();
  const int count = *routing.count;
  const unsigned bytes = row_bytes(a);
  const std::uint32_t known = known_barrier(plan, memory, kHalvesKnown);
  const auto row = [&](int expert, int token) {
    return static_cast<const __nv_bfloat16*>(a.outer.x) +
           routing.pair_of(token, expert, a.rule.chosen) * a.outer.x_stride;
  };
  const int extras = min(routing.count[1], plan.extra_rows);
  if (lane == 0) device::barrier_arrive_expecting(known, static_cast<unsigned>(extras) * bytes);
  __syncwarp();  // bytes are announced
#pragma unroll 1
  for (int i = lane; i < count && extras > 0; i += device::kWarpThreads) {
    const int expert = routing.active[i];
    std::uint32_t mask = routing.masks[expert];
    int place = routing.extras[expert];
#pragma unroll 1
    while ((mask &= mask - 1) != 0 && place < plan.extra_rows) {
      device::bulk_copy(device::shared_address(memory) + static_cast<unsigned>(place++) * bytes,
                        row(expert, __ffs(static_cast<int>(mask)) - 1), bytes, known);
    }
  }
  const Share wide = equal_share(plan, plan.wide_slabs);
  const Share routed = routed_share(plan, count);
  const Share hidden = equal_share(plan, plan.hidden_slabs);
  const std::uint32_t stages = device::shared_address(memory + plan.stages_at);
  const std::uint32_t full = device::shared_address(memory + plan.barriers_at);
  const int shared_items = a.shared_coded ? kSharedItems<true> : kSharedItems<false>;
  int item = (wide.end - wide.begin) * shared_items + routed.end - routed.begin;
#pragma unroll 1
  for (int slab = hidden.begin; slab < hidden.end; ++slab) {
    item += shared_items;
    const __nv_bfloat16* own = nullptr;
#pragma unroll 1
    for (int i = 0; i < count; ++i, ++item) {
      if (i % device::kWarpThreads == 0 && i + lane < count) {
        const int expert = routing.active[i + lane];
        own = row(expert, __ffs(static_cast<int>(routing.masks[expert])) - 1);
      }
      const Turn turn(item, plan);
      device::barrier_wait(full + 8 * (plan.stages + turn.stage), turn.parity ^ 1U);
      if (lane != i % device::kWarpThreads) continue;
      device::bulk_copy(stages + static_cast<unsigned>(turn.stage) * plan.stage + plan.row_at, own,
                        bytes, full + 8 * turn.stage);
    }
  }
}

// And its last ones.
__device__ inline void watch(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const auto* phases = reinterpret_cast<const MoeProgress*>(memory + plan.phases_at);
  if (lane_index() == 0) wait_for_change(&a.progress->wide, phases->wide);
  make_known(plan, memory, kWideKnown);
  if (lane_index() == 0) wait_for_change(&a.progress->halves, phases->halves);
  __syncwarp();  // lanes come after the one that has seen it
  send_rows(a, plan, memory);
  // All blocks have chosen by them.
  if (a.scores == nullptr || blockIdx.x != 0) return;
#pragma unroll 1
  for (int i = lane_index(); i < a.tokens * (a.rule.experts + kMoeSquares);
       i += device::kWarpThreads) {
    a.scores[i] = 0;
  }
}

}  // namespace glm::kernels::cuda
