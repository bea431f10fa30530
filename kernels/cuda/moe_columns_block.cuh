// What all warps of a block of moe_columns.cu share: its part of the work, the ring of stages, and
// what is known of the choice.
#pragma once

#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/moe_columns.h"
#include "kernels/cuda/moe_layer_watch.cuh"
#include "kernels/device/awaited.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda {

constexpr int kColumnWorkers = kColumnWarps * device::kWarpThreads;
constexpr int kColumnThreads = kColumnWorkers + kColumnServants * device::kWarpThreads;
constexpr int kFetchingWarp = kColumnWarps;
constexpr int kWatchingWarp = kColumnWarps + 1;
constexpr int kChoosingWarp = kColumnWarps + 2;  // and the next, which then fetches, too
constexpr int kFetchers = 2;

// Named barriers: the workers; and who has set up the others, with who waits for that.
constexpr int kMeetBarrier = 1;
constexpr int kSetUpBarrier = 2;
constexpr int kServantsBarrier = 3;
__device__ inline void column_workers_meet() {
  device::sync_threads(kMeetBarrier, kColumnWorkers);
}
// Who sets up waits for nobody.
__device__ inline void arrive_at(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;\n" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ inline void workers_find_set_up() {
  device::sync_threads(kSetUpBarrier, kColumnWorkers + device::kWarpThreads);
}
__device__ inline void servants_find_set_up() {
  device::sync_threads(kServantsBarrier, kColumnServants * device::kWarpThreads);
}

// In shared memory.
struct ColumnsRouting {
  std::int32_t ids[kColumnChosen];  // experts, as they were chosen
  float scores[kColumnChosen];      // of them
  float weights[kColumnChosen];     // which are made of the scores
  float scale;                      // what is left to do of the norm
  // Of activations in fp16, for every two chunks: before the halves, and between them of the chosen
  // experts and of the shared one.
  float x_units[kColumnWarps / 2];
  float halves_units[kColumnChosen * kColumnWarps / 2];
  float wide_units[kColumnWarps / 2];
  std::uint32_t turn;  // which of the numbers that are awaited
};
static_assert(sizeof(ColumnsRouting) <= kColumnsRoutingBytes);

// Where the next items are in the ring of stages.
struct Ring {
  int stages;
  int stage = 0;
  unsigned parity = 0;  // of this filling

  // So many items later, at most a round.
  __device__ Ring after(int items) const {
    Ring ring = *this;
    ring.stage += items;
    if (ring.stage >= stages) {
      ring.stage -= stages;
      ring.parity ^= 1U;
    }
    return ring;
  }
};

class ColumnsBlock {
 public:
  __device__ ColumnsBlock(const MoeArgs& args, const ColumnsPlan& its_plan, std::uint8_t* memory)
      : a(args),
        plan(its_plan),
        routing(*reinterpret_cast<ColumnsRouting*>(memory + its_plan.routing_at)),
        memory_(memory),
        full_(device::shared_address(memory + its_plan.barriers_at)),
        known_(device::shared_address(memory + its_plan.known_at)) {}

  // By one warp, before anybody waits.
  __device__ void set_up() const {
    const int lane = lane_index();
    if (lane < plan.stages) {
      device::barrier_set_up(full(lane), 1);
      device::barrier_set_up(empty(lane), kColumnWarps);
    }
    if (lane < kColumnsKnown) {
      device::barrier_set_up(known_ + 8 * lane, 1);
    }
    device::barriers_are_set_up();
    __syncwarp();  // by all lanes
    arrive_at(kSetUpBarrier, kColumnWorkers + device::kWarpThreads);
    arrive_at(kServantsBarrier, kColumnServants * device::kWarpThreads);
  }

  __device__ std::uint8_t* at(unsigned place) const { return memory_ + place; }
  __device__ std::uint32_t full(int stage) const { return full_ + 8 * stage; }
  __device__ std::uint32_t empty(int stage) const {
    return full_ + 8 * (static_cast<int>(kColumnStagesMax) + stage);
  }
  __device__ void make_known(ColumnsKnown what) const {
    __syncwarp();  // all lanes are through
    if (lane_index() == 0) device::barrier_arrive(known_ + 8 * what);
  }
  __device__ void wait_to_know(ColumnsKnown what) const {
    device::barrier_wait(known_ + 8 * what, 0);
  }

  // An equal part of so many slabs.
  __device__ Share equal_share(int slabs) const {
    const unsigned before = static_cast<unsigned>(slabs) * blockIdx.x;
    const unsigned after = before + static_cast<unsigned>(slabs);
    return {static_cast<int>(multiplied_high(before, plan.by_blocks)),
            static_cast<int>(multiplied_high(after, plan.by_blocks))};
  }
  // What of the routed experts' first halves a block has: with its part of the shared expert it is
  // about as many bytes for all blocks.
  __device__ Share routed_share() const {
    const int total = a.rule.chosen * plan.inner.slabs;
    const int cost = total * 16 + plan.wide_slabs * plan.wide_slab_cost;
    const Share wide = equal_share(plan.wide_slabs);
    const Share own = equal_share(cost);
    // No block has so little of all that its part of the shared expert would be more.
    const int wide_most = (plan.wide_slabs + static_cast<int>(gridDim.x) - 1) * plan.wide_slab_cost;
    if (cost < wide_most + static_cast<int>(gridDim.x)) return equal_share(total);
    const bool last = blockIdx.x + 1 == gridDim.x;
    return {(own.begin - wide.begin * plan.wide_slab_cost) / 16,
            last ? total : (own.end - wide.end * plan.wide_slab_cost) / 16};
  }
  __device__ Share wide_share() const { return equal_share(plan.wide_slabs); }
  __device__ Share hidden_share() const { return equal_share(plan.hidden_slabs); }
  __device__ int entry_of(int slab) const {
    return static_cast<int>(multiplied_high(static_cast<unsigned>(slab), plan.by_inner_slabs));
  }
  // What is between the halves: of a chosen expert, and of the shared one. As they are awaited.
  __device__ __nv_bfloat16* halves(int entry) const {
    return awaited() + static_cast<std::int64_t>(entry) * a.outer.inputs;
  }
  __device__ __nv_bfloat16* wide() const {
    return awaited() + plan.awaited.count - kMoeAwaitedWide;
  }

  const MoeArgs& a;
  const ColumnsPlan& plan;
  ColumnsRouting& routing;

 private:
  __device__ __nv_bfloat16* awaited() const {
    return reinterpret_cast<__nv_bfloat16*>(plan.awaited.first) +
           static_cast<std::int64_t>(routing.turn) * plan.awaited.count;
  }

  std::uint8_t* memory_;
  std::uint32_t full_;
  std::uint32_t known_;
};

}  // namespace glm::kernels::cuda
