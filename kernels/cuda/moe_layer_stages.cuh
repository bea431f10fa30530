// The stages of moe_layer.cu in shared memory: which weights a block has, in which order they come,
// and the warps that fetch them.
//
// Item i of a block goes to stage i % stages. First come the slabs of the shared expert's first
// half, each as four quads of rows, which all teams share; then slabs of the routed experts', of
// which item i is team i % teams'. Then, for each slab of outputs, the quads of the shared expert's
// second half and the slabs of all experts.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_warps.cuh"

namespace glm::kernels::cuda {

// What code there is matters: it is fetched anew for each launch while memory is busy with weights.
// Hence no loop here is unrolled that need not be.

// The upper half of the product.
__device__ inline unsigned multiplied_high(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<std::uint64_t>(a) * b >> 32U);
}

// How many items a slab of the shared expert is: four quads in bf16, or one where it is coded.
template <bool kCoded>
constexpr int kSharedItems = kCoded ? 1 : kQuads;

// An equal part of so many slabs for this block.
__device__ inline Share equal_share(const MoePlan& plan, int slabs) {
  const unsigned before = static_cast<unsigned>(slabs) * blockIdx.x;
  return {static_cast<int>(multiplied_high(before, plan.by_blocks)),
          static_cast<int>(multiplied_high(before + static_cast<unsigned>(slabs), plan.by_blocks))};
}

// What of the routed experts' first halves a block has: with its part of the shared expert it is
// about as many bytes for all blocks.
__device__ inline Share routed_share(const MoePlan& plan, int active) {
  const int total = active * plan.inner.slabs;
  const int cost = total * 16 + plan.wide_slabs * plan.wide_slab_cost;
  const Share wide = equal_share(plan, plan.wide_slabs);
  const Share own = equal_share(plan, cost);
  // No block has so little of all that its part of the shared expert would be more.
  const int wide_most = (plan.wide_slabs + static_cast<int>(gridDim.x) - 1) * plan.wide_slab_cost;
  if (cost < wide_most + static_cast<int>(gridDim.x)) return equal_share(plan, total);
  const bool last = blockIdx.x + 1 == gridDim.x;
  return {(own.begin - wide.begin * plan.wide_slab_cost) / 16,
          last ? total : (own.end - wide.end * plan.wide_slab_cost) / 16};
}

// Experts come in two lots, the first of them larger: when a block is through with the first halves
// of the second, all blocks long are with those of the first. So no block waits for the slowest.
__device__ inline int first_lot(int active) {
  return (2 * active + 2) / 3;
}

// What a block has of the routed experts' first halves, of one lot and of the other.
class RoutedSlabs {
 public:
  __device__ RoutedSlabs(const MoePlan& plan, int active) {
    const Share own = routed_share(plan, active);
    const auto lot = static_cast<unsigned>(first_lot(active));
    const auto of_first = [&](int slabs) {
      return static_cast<int>(static_cast<unsigned>(slabs) * lot / static_cast<unsigned>(active));
    };
    first_ = of_first(own.begin);
    of_first_lot_ = of_first(own.end) - first_;
    others_ = static_cast<int>(lot) * plan.inner.slabs + own.begin - first_ - of_first_lot_;
    count_ = own.end - own.begin;
  }
  __device__ int count() const { return count_; }
  // Of them, the first ones are of the first lot.
  __device__ int count(int lots) const { return lots == 1 ? of_first_lot_ : count_; }
  // Number i of the block: which of all experts' slabs, one expert after the other.
  __device__ int at(int i) const { return i + (i < of_first_lot_ ? first_ : others_); }

 private:
  int first_;
  int of_first_lot_;
  int others_;
  int count_;
};

// The slabs of a list of experts, one after the other.
struct SlabAt {
  int entry;
  int slab;

  __device__ SlabAt(const MoePlan& plan, int at)
      : entry(static_cast<int>(multiplied_high(static_cast<unsigned>(at), plan.by_inner_slabs))),
        slab(at - entry * plan.inner.slabs) {}
};

// Where an item is in the ring. In the first round of the stages the parity is 0.
struct Turn {
  int stage;
  unsigned parity;

  __device__ Turn(int item, const MoePlan& plan)
      : stage(item & (plan.stages - 1)),
        parity(static_cast<unsigned>(item) >> plan.stages_shift & 1U) {}
};

// Asked for at a time and not yet there, of the shared expert before the choice and of all after
// it.
constexpr int kInFlightEarly = 4;
constexpr int kInFlight = 2;

// One of the warps that fetch: every warps-th item is its own.
class Fetcher {
 public:
  // After so many items of the block. A single warp asks for `in_flight` at most that are not yet
  // there: enough to keep memory busy. More would only queue in front of what others need.
  __device__ Fetcher(const MoePlan& plan, std::uint8_t* memory, int items, int warp, int warps,
                     int in_flight)
      : plan_(plan),
        stages_(device::shared_address(memory + plan.stages_at)),
        full_(device::shared_address(memory + plan.barriers_at)),
        empty_(full_ + 8 * plan.stages),
        policy_(device::read_once_policy()),
        item_(items),
        next_(items + warp),
        warps_(warps),
        in_flight_(in_flight) {}

  // Four rows of a weight in bf16 from `row` on. Every other quad is shifted, so that rows of two
  // neighbouring quads lie in different banks.
  __device__ void quad(const device::Weight& w, int row, int quad, std::uint32_t other_full = 0) {
    if (!is_own()) return;
    const auto bytes = static_cast<unsigned>(kQuadRows * w.row_bytes);
    fetch(bytes, 1, static_cast<unsigned>(quad) % 2 * kQuadShift, w.data + row * w.row_bytes, bytes,
          other_full);
  }

  // A coded slab; lane l < copies has its part. So many bytes come to the stage besides.
  __device__ void slab(const BulkPlan& plan, const QuadCopy& copy, int copies, int expert, int slab,
                       unsigned besides = 0, std::uint32_t other_full = 0) {
    if (!is_own()) return;
    fetch(plan.stage_copied + besides, copies, copy.to,
          copy.from + expert * copy.expert_bytes + slab * copy.slab_bytes, copy.bytes, other_full);
  }

  // Until workers have left so many items, the first of which was that many before the next.
  __device__ void wait_until_left(int before, int items) const {
#pragma unroll 1
    for (int i = 0; i < items; ++i) {
      const Turn turn(item_ - before + i, plan_);
      device::barrier_wait(empty_ + 8 * turn.stage, turn.parity);
    }
  }

 private:
  __device__ bool is_own() {
    const bool own = item_ == next_;
    if (own) next_ += warps_;
    ++item_;
    return own;
  }
  // Brings the item before item_, of `bytes` in all; what else is said is of a lane below `lanes`.
  // `other_full`: the barrier that says so, if it is not that of the stage, which goes on anyhow.
  __device__ void fetch(unsigned bytes, int lanes, unsigned to, const std::uint8_t* from,
                        unsigned own_bytes, std::uint32_t other_full) {
    const Turn turn(item_ - 1, plan_);
    // Of the round before: nothing to wait for in the first.
    device::barrier_wait(empty_ + 8 * turn.stage, turn.parity ^ 1U);
    if (warps_ == 1 && item_ > in_flight_) {
      const Turn before(item_ - 1 - in_flight_, plan_);
      device::barrier_wait(full_ + 8 * before.stage, before.parity);
    }
    std::uint32_t full = full_ + 8 * turn.stage;
    if (other_full != 0) {
      if (lane_index() == 0) device::barrier_arrive(full);
      full = other_full;
    }
    if (lane_index() == 0) device::barrier_arrive_expecting(full, bytes);
    __syncwarp();  // bytes are announced
    if (lane_index() >= lanes) return;
    device::bulk_copy(stages_ + static_cast<unsigned>(turn.stage) * plan_.stage + to, from,
                      own_bytes, full, policy_);
  }

  const MoePlan& plan_;
  std::uint32_t stages_;
  std::uint32_t full_;
  std::uint32_t empty_;
  std::uint64_t policy_;
  int item_;
  int next_;  // of this warp
  int warps_;
  int in_flight_;
};

// Of what is between the halves of a routed expert.
__device__ inline unsigned row_bytes(const MoeArgs& a) {
  return static_cast<unsigned>(a.outer.inputs) * 2;
}

// Of a lane, as quad_copy(): gate and up, or the second half.
template <bool kGated>
__device__ QuadCopy shared_copy(const MoeArgs& a, const BulkPlan& plan, int index) {
  const int part = index / kQuads;
  const int quad = index % kQuads;
  const bool second = quad >= kQuads / 2;
  const device::Weight& w = !kGated ? a.shared_down : second ? a.shared_up : a.shared_gate;
  const void* bases[kBulkParts] = {w.data, w.scales, w.zeros};
  const auto row = static_cast<unsigned>(kGated ? quad % (kQuads / 2) : quad) * kQuadRows;
  QuadCopy copy = {};
#pragma unroll
  for (int p = 0; p < kBulkParts; ++p) {
    if (p != part) continue;
    copy = {
        .from = static_cast<const std::uint8_t*>(bases[p]) + row * plan.row[p],
        .expert_bytes = 0,
        .slab_bytes = static_cast<std::int64_t>(kGated ? kSlabRows / 2 : kSlabRows) * plan.row[p],
        .to = plan.at[p] + static_cast<unsigned>(quad) * plan.quad[p],
        .bytes = kQuadRows * plan.row[p]};
  }
  return copy;
}

template <bool kCoded, int kParts>
__device__ void fetch_shared_first_half(const MoeArgs& a, const MoePlan& plan, Fetcher& fetcher) {
  const Share share = equal_share(plan, plan.wide_slabs);
  if constexpr (kCoded) {
    constexpr int kCopies = kQuads * kParts;
    const QuadCopy copy =
        shared_copy<true>(a, plan.inner, lane_index() < kCopies ? lane_index() : 0);
#pragma unroll 1
    for (int slab = share.begin; slab < share.end; ++slab) {
      fetcher.slab(plan.inner, copy, kCopies, 0, slab);
    }
  } else {
#pragma unroll 1
    for (int i = share.begin * kQuads; i < share.end * kQuads; ++i) {
      const int quad = i % kQuads;
      const device::Weight& w = quad < kQuads / 2 ? a.shared_gate : a.shared_up;
      fetcher.quad(w, i / kQuads * (kSlabRows / 2) + quad % 2 * kQuadRows, quad);
    }
  }
}

template <int kParts>
__device__ void fetch_first_half(const MoeArgs& a, const MoePlan& plan, const std::int32_t* active,
                                 int count, Fetcher& fetcher) {
  constexpr int kCopies = kQuads * kParts;
  const QuadCopy copy =
      quad_copy<true>(a.inner, plan.inner, lane_index() < kCopies ? lane_index() : 0);
  const RoutedSlabs slabs(plan, count);
#pragma unroll 1
  for (int i = 0; i < slabs.count(); ++i) {
    const SlabAt next(plan, slabs.at(i));
    fetcher.slab(plan.inner, copy, kCopies, active[next.entry], next.slab);
  }
}

template <bool kCoded, int kParts>
__device__ void fetch_second_half(const MoeArgs& a, const MoePlan& plan, const std::uint8_t* memory,
                                  const std::int32_t* active, int count, Fetcher& fetcher) {
  constexpr int kCopies = kQuads * kParts;
  const QuadCopy copy =
      quad_copy<false>(a.outer, plan.outer, lane_index() < kCopies ? lane_index() : 0);
  const Share share = equal_share(plan, plan.hidden_slabs);
  const unsigned row = row_bytes(a);
  QuadCopy shared = {};
  if constexpr (kCoded) {
    shared = shared_copy<false>(a, plan.outer, lane_index() < kCopies ? lane_index() : 0);
  }
  constexpr int kOfShared = kCoded ? 1 : kQuads;
#pragma unroll 1
  for (int slab = share.begin; slab < share.end; ++slab) {
    // The shared expert's barriers are used again: all must have passed them. A free stage says so
    // only where the ring has come round since.
    if (slab > share.begin && kOfShared + count < plan.stages) {
      fetcher.wait_until_left(kOfShared + count, kOfShared);
    }
    if constexpr (kCoded) {
      fetcher.slab(plan.outer, shared, kCopies, 0, slab, 0, shared_full_barrier(plan, memory, 0));
    } else {
#pragma unroll 1
      for (int quad = 0; quad < kQuads; ++quad) {
        fetcher.quad(a.shared_down, slab * kSlabRows + quad * kQuadRows, quad,
                     shared_full_barrier(plan, memory, quad));
      }
    }
#pragma unroll 1
    for (int i = 0; i < count; ++i) fetcher.slab(plan.outer, copy, kCopies, active[i], slab, row);
  }
}

}  // namespace glm::kernels::cuda
