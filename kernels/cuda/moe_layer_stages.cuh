// The stages of moe_layer.cu in shared memory: which weights a block has, in which order they come,
// and the warp that fetches them.
//
// Item i of a block goes to stage i % stages. First come the slabs of the shared expert's first half,
// each as four quads of rows, which all teams share; then slabs of the routed experts', of which
// item i is team i % teams'. Then, for each slab of outputs, the quads of the shared expert's second
// half and the slabs of all experts.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/moe_layer.h"

namespace glm::kernels::cuda {

// What of the shared expert's first half a block has: slabs.
__device__ inline Share wide_share(const MoePlan& plan) {
  return share_of_block(plan.wide_slabs);
}
__device__ inline Share hidden_share(const MoePlan& plan) {
  return share_of_block(plan.hidden_slabs);
}

// What of the routed experts' first halves a block has: with its part of the shared expert it is as
// many bytes for all blocks.
__device__ inline Share routed_share(const MoePlan& plan, int active) {
  const int total = active * plan.inner.slabs;
  const std::int64_t bytes = static_cast<std::int64_t>(total) * plan.inner_slab_bytes +
                             static_cast<std::int64_t>(plan.wide_slabs) * plan.wide_slab_bytes;
  const std::int64_t own = bytes / gridDim.x;
  const std::int64_t most = (plan.wide_slabs + gridDim.x - 1) / gridDim.x;
  if (own < most * plan.wide_slab_bytes) return share_of_block(total);
  const auto edge = [&](unsigned block) {
    const std::int64_t wide = static_cast<std::int64_t>(plan.wide_slabs) * block / gridDim.x;
    const std::int64_t rest = bytes * block / gridDim.x - wide * plan.wide_slab_bytes;
    return static_cast<int>(rest / plan.inner_slab_bytes);
  };
  const bool last = blockIdx.x + 1 == gridDim.x;
  return {edge(blockIdx.x), last ? total : edge(blockIdx.x + 1)};
}

// Where an item is in the ring. In the first round of the stages the parity is 0.
struct Turn {
  int stage;
  unsigned parity;

  __device__ Turn(int item, int stages)
      : stage(item % stages), parity(static_cast<unsigned>(item / stages) % 2) {}
  __device__ void advance(int by, int stages) {
    stage += by;
    if (stage < stages) return;
    stage -= stages;
    parity ^= 1U;
  }
};

class Fetcher {
 public:
  __device__ Fetcher(const MoePlan& plan, std::uint8_t* memory)
      : plan_(plan),
        stages_(device::shared_address(memory + plan.stages_at)),
        full_(device::shared_address(memory + plan.barriers_at)),
        empty_(full_ + 8 * plan.stages),
        policy_(device::read_once_policy()),
        turn_(0, plan.stages) {}

  // Four rows of a weight in bf16 from `row` on. Every other quad is shifted, so that rows of two
  // neighbouring quads lie in different banks.
  __device__ void quad(const device::Weight& w, int row, int quad) {
    const auto bytes = static_cast<unsigned>(kQuadRows * w.row_bytes);
    begin(bytes);
    if (lane_index() == 0) {
      device::bulk_copy(place() + static_cast<unsigned>(quad) % 2 * kQuadShift,
                        w.data + row * w.row_bytes, bytes, full(), policy_);
    }
    turn_.advance(1, plan_.stages);
  }

  // A slab in four bits; lane l < copies has its part.
  __device__ void slab(const BulkPlan& plan, const QuadCopy& copy, int copies, int expert,
                       int slab) {
    begin(plan.stage_copied);
    if (lane_index() < copies) {
      device::bulk_copy(place() + copy.to,
                        copy.from + expert * copy.expert_bytes + slab * copy.slab_bytes, copy.bytes,
                        full(), policy_);
    }
    turn_.advance(1, plan_.stages);
  }

 private:
  __device__ std::uint32_t full() const { return full_ + 8 * turn_.stage; }
  __device__ std::uint32_t place() const {
    return stages_ + static_cast<unsigned>(turn_.stage) * plan_.stage;
  }
  __device__ void begin(unsigned bytes) {
    // Of the round before: nothing to wait for in the first.
    device::barrier_wait(empty_ + 8 * turn_.stage, turn_.parity ^ 1U);
    if (lane_index() == 0) device::barrier_arrive_expecting(full(), bytes);
    __syncwarp();  // bytes are announced
  }

  const MoePlan& plan_;
  std::uint32_t stages_;
  std::uint32_t full_;
  std::uint32_t empty_;
  std::uint64_t policy_;
  Turn turn_;
};

__device__ inline void fetch_shared_first_half(const MoeArgs& a, const MoePlan& plan,
                                               Fetcher& fetcher) {
  const Share wide = wide_share(plan);
  for (int slab = wide.begin; slab < wide.end; ++slab) {
    for (int quad = 0; quad < kQuads; ++quad) {
      const int row = slab * (kSlabRows / 2) + quad % 2 * kQuadRows;
      fetcher.quad(quad < kQuads / 2 ? a.shared_gate : a.shared_up, row, quad);
    }
  }
}

template <int kParts>
__device__ void fetch_first_half(const MoeArgs& a, const MoePlan& plan, const std::int32_t* active,
                                 int count, Fetcher& fetcher) {
  constexpr int kCopies = kQuads * kParts;
  const QuadCopy copy =
      quad_copy<true>(a.inner, plan.inner, lane_index() < kCopies ? lane_index() : 0);
  const Share share = routed_share(plan, count);
  int entry = share.begin / plan.inner.slabs;
  int slab = share.begin % plan.inner.slabs;
  for (int at = share.begin; at < share.end; ++at) {
    fetcher.slab(plan.inner, copy, kCopies, active[entry], slab);
    if (++slab == plan.inner.slabs) {
      slab = 0;
      ++entry;
    }
  }
}

template <int kParts>
__device__ void fetch_second_half(const MoeArgs& a, const MoePlan& plan, const std::int32_t* active,
                                  int count, Fetcher& fetcher) {
  constexpr int kCopies = kQuads * kParts;
  const QuadCopy copy =
      quad_copy<false>(a.outer, plan.outer, lane_index() < kCopies ? lane_index() : 0);
  const Share share = hidden_share(plan);
  for (int slab = share.begin; slab < share.end; ++slab) {
    for (int quad = 0; quad < kQuads; ++quad) {
      fetcher.quad(a.shared_down, slab * kSlabRows + quad * kQuadRows, quad);
    }
    for (int i = 0; i < count; ++i) fetcher.slab(plan.outer, copy, kCopies, active[i], slab);
  }
}

}  // namespace glm::kernels::cuda
