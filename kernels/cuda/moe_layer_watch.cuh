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
  auto* phases = reinterpret_cast<MoeProgress*>(memory + plan.phases_at);
  const int task = lane_index();
  if (task < kMoeTasks) phases->through[task] = phase_of(a.progress->through + task);
  __syncwarp();  // one lane will want them all
}
// By one lane.
__device__ inline void wait_for_all(const MoeArgs& a, const MoePlan& plan,
                                    const std::uint8_t* memory, unsigned task) {
  const auto* phases = reinterpret_cast<const MoeProgress*>(memory + plan.phases_at);
  wait_for_change(a.progress->through + task, phases->through[task]);
}

// The teller's last task: other blocks are told what the workers of this one are through with. That
// takes long where copies are under way, so no worker does it.
__device__ inline void tell_others(const MoeArgs& a, const MoePlan& plan,
                                   const std::uint8_t* memory) {
  if (lane_index() != 0) return;
#pragma unroll 1
  for (unsigned task = 0; task < kMoeTasks; ++task) {
    device::barrier_wait(through_barrier(plan, memory, task), 0);
    add_to(a.progress->through + task, blockIdx.x == 0, static_cast<int>(gridDim.x));
  }
}

// What tokens have of experts, [first, last) of those in active, comes to shared memory when all
// blocks are through with their first halves: of one token to where the expert's weights are, of
// others to where activations were, as long as there is room. A lane has one expert of thirty-two.
class RowSender {
 public:
  __device__ RowSender(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory)
      : a_(a), plan_(plan), memory_(memory), routing_(memory, plan, a.rule.experts) {}

  __device__ int count() const { return *routing_.count; }

  // Others than an expert's first token, and makes it known that all of them come.
  __device__ void send_others(int first, int last, unsigned known) const {
    const std::uint32_t barrier = known_barrier(plan_, memory_, known);
    const int begin = place_of(first);
    const int extras = place_of(last) - begin;
    if (lane_index() == 0) {
      device::barrier_arrive_expecting(barrier, static_cast<unsigned>(extras) * row_bytes(a_));
    }
    __syncwarp();  // bytes are announced
#pragma unroll 1
    for (int i = first + lane_index(); i < last && extras > 0; i += device::kWarpThreads) {
      const int expert = routing_.active[i];
      std::uint32_t mask = routing_.masks[expert];
      int place = routing_.extras[expert];
#pragma unroll 1
      while ((mask &= mask - 1) != 0 && place < plan_.extra_rows) {
        device::bulk_copy(
            device::shared_address(memory_) + static_cast<unsigned>(place++) * row_bytes(a_),
            row(expert, mask), row_bytes(a_), barrier);
      }
    }
  }
  // First tokens; `item` is that of the first expert. A stage may be filled when the item before in
  // it has been used up: of the barrier's phases only the last two can be told apart, and what is
  // known of the items before is enough where there are eight stages or more, or one slab of
  // outputs.
  __device__ void send_firsts(int first, int last, int item) const {
    const std::uint32_t stages = device::shared_address(memory_ + plan_.stages_at);
    const std::uint32_t full = device::shared_address(memory_ + plan_.barriers_at);
    const int lane = lane_index();
    const __nv_bfloat16* own = nullptr;
#pragma unroll 1
    for (int i = 0; i < last - first; ++i, ++item) {
      if (i % device::kWarpThreads == 0 && first + i + lane < last) {
        const int expert = routing_.active[first + i + lane];
        own = row(expert, routing_.masks[expert]);
      }
      const Turn turn(item, plan_);
      device::barrier_wait(full + 8 * (plan_.stages + turn.stage), turn.parity ^ 1U);
      if (lane != i % device::kWarpThreads) continue;
      device::bulk_copy(stages + static_cast<unsigned>(turn.stage) * plan_.stage + plan_.row_at,
                        own, row_bytes(a_), full + 8 * turn.stage);
    }
  }

 private:
  // Where the others of an expert begin, of those that have room. Of a single token there are none,
  // nor is it listed where they would be.
  __device__ int place_of(int entry) const {
    const int all = routing_.count[1];
    const bool listed = all > 0 && entry < count();
    return min(listed ? routing_.extras[routing_.active[entry]] : all, plan_.extra_rows);
  }
  // Of the first token in a mask.
  __device__ const __nv_bfloat16* row(int expert, std::uint32_t mask) const {
    const int token = __ffs(static_cast<int>(mask)) - 1;
    return static_cast<const __nv_bfloat16*>(a_.outer.x) +
           routing_.pair_of(token, expert, a_.rule.chosen) * a_.outer.x_stride;
  }

  const MoeArgs& a_;
  const MoePlan& plan_;
  std::uint8_t* memory_;
  MoeRouting routing_;
};

// The watcher's last tasks.
__device__ inline void watch(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  if (lane_index() == 0) wait_for_all(a, plan, memory, kMoeWide);
  make_known(plan, memory, kTaskKnown + kMoeWide);
  const RowSender sender(a, plan, memory);
  const Share wide = equal_share(plan, plan.wide_slabs);
  const Share hidden = equal_share(plan, plan.hidden_slabs);
  const int count = sender.count();
  const int shared_items = a.shared_coded ? kSharedItems<true> : kSharedItems<false>;
  int item = (wide.end - wide.begin) * shared_items + RoutedSlabs(plan, count).count();
#pragma unroll 1
  for (int slab = hidden.begin; slab < hidden.end; ++slab) {
    item += shared_items;
#pragma unroll 1
    for (int lot = 0; lot < kMoeLots; ++lot) {
      const int first = lot == 0 ? 0 : first_lot(count);
      const int last = lot == 0 ? first_lot(count) : count;
      if (slab == hidden.begin) {
        const unsigned task = kMoeLot + static_cast<unsigned>(lot);
        if (lane_index() == 0) wait_for_all(a, plan, memory, task);
        __syncwarp();  // lanes come after the one that has seen it
        // Activations are wanted no more, nor stages by what comes before.
        device::barrier_wait(through_barrier(plan, memory, kMoeTasks - 1), 0);
        // Written by other blocks, and read by copies.
        asm volatile("fence.proxy.async;\n" ::: "memory");
        sender.send_others(first, last, kTaskKnown + task);
      }
      sender.send_firsts(first, last, item);
      item += last - first;
    }
  }
  // All blocks have chosen by them.
  if (a.scores == nullptr || blockIdx.x != 0) return;
#pragma unroll 1
  for (int i = lane_index(); i < a.tokens * (a.rule.experts + kMoeSquares);
       i += device::kWarpThreads) {
    a.scores[i] = 0;
  }
}

}  // namespace glm::kernels::cuda
