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

// What code there is matters: it is fetched anew for each launch while memory is busy with weights.
// Hence no loop here is unrolled that need not be.

// An equal part of so many slabs for this block.
__device__ inline Share equal_share(int slabs) {
  const auto total = static_cast<unsigned>(slabs);
  return {static_cast<int>(total * blockIdx.x / gridDim.x),
          static_cast<int>(total * (blockIdx.x + 1) / gridDim.x)};
}

// What of the routed experts' first halves a block has: with its part of the shared expert it is
// about as many bytes for all blocks.
__device__ inline Share routed_share(const MoePlan& plan, int active) {
  const auto total = static_cast<unsigned>(active * plan.inner.slabs);
  const auto slabs = static_cast<unsigned>(plan.wide_slabs);
  const auto slab_cost = static_cast<unsigned>(plan.wide_slab_cost);
  const unsigned cost = total * 16 + slabs * slab_cost;
  if (cost / gridDim.x < ((slabs - 1) / gridDim.x + 1) * slab_cost) {
    return equal_share(static_cast<int>(total));
  }
  unsigned edges[2];
#pragma unroll 1
  for (unsigned i = 0; i < 2; ++i) {
    const unsigned block = blockIdx.x + i;
    edges[i] = (cost * block / gridDim.x - slabs * block / gridDim.x * slab_cost) / 16;
  }
  const bool last = blockIdx.x + 1 == gridDim.x;
  return {static_cast<int>(edges[0]), static_cast<int>(last ? total : edges[1])};
}

// Where an item is in the ring. In the first round of the stages the parity is 0.
struct Turn {
  int stage;
  unsigned parity;

  __device__ Turn(int item, const MoePlan& plan)
      : stage(item & (plan.stages - 1)),
        parity(static_cast<unsigned>(item) >> plan.stages_shift & 1U) {}
};

class Fetcher {
 public:
  __device__ Fetcher(const MoePlan& plan, std::uint8_t* memory)
      : plan_(plan),
        stages_(device::shared_address(memory + plan.stages_at)),
        full_(device::shared_address(memory + plan.barriers_at)),
        empty_(full_ + 8 * plan.stages),
        policy_(device::read_once_policy()) {}

  // Four rows of a weight in bf16 from `row` on. Every other quad is shifted, so that rows of two
  // neighbouring quads lie in different banks.
  __device__ void quad(const device::Weight& w, int row, int quad) {
    const auto bytes = static_cast<unsigned>(kQuadRows * w.row_bytes);
    fetch(bytes, 1, static_cast<unsigned>(quad) % 2 * kQuadShift, w.data + row * w.row_bytes,
          bytes);
  }

  // A slab in four bits; lane l < copies has its part.
  __device__ void slab(const BulkPlan& plan, const QuadCopy& copy, int copies, int expert,
                       int slab) {
    fetch(plan.stage_copied, copies, copy.to,
          copy.from + expert * copy.expert_bytes + slab * copy.slab_bytes, copy.bytes);
  }

 private:
  // Brings one item, of `bytes` in all; what else is said is of a lane below `lanes`.
  __device__ void fetch(unsigned bytes, int lanes, unsigned to, const std::uint8_t* from,
                        unsigned own_bytes) {
    const Turn turn(item_++, plan_);
    // Of the round before: nothing to wait for in the first.
    device::barrier_wait(empty_ + 8 * turn.stage, turn.parity ^ 1U);
    const std::uint32_t full = full_ + 8 * turn.stage;
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
  int item_ = 0;
};

__device__ inline void fetch_shared_first_half(const MoeArgs& a, const MoePlan& plan,
                                               Fetcher& fetcher) {
  const Share share = equal_share(plan.wide_slabs);
#pragma unroll 1
  for (int i = share.begin * kQuads; i < share.end * kQuads; ++i) {
    const int quad = i % kQuads;
    const device::Weight& w = quad < kQuads / 2 ? a.shared_gate : a.shared_up;
    fetcher.quad(w, i / kQuads * (kSlabRows / 2) + quad % 2 * kQuadRows, quad);
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
#pragma unroll 1
  for (int at = share.begin; at < share.end; ++at) {
    fetcher.slab(plan.inner, copy, kCopies, active[entry], slab);
    if (++slab < plan.inner.slabs) continue;
    slab = 0;
    ++entry;
  }
}

template <int kParts>
__device__ void fetch_second_half(const MoeArgs& a, const MoePlan& plan, const std::int32_t* active,
                                  int count, Fetcher& fetcher) {
  constexpr int kCopies = kQuads * kParts;
  const QuadCopy copy =
      quad_copy<false>(a.outer, plan.outer, lane_index() < kCopies ? lane_index() : 0);
  const Share share = equal_share(plan.hidden_slabs);
#pragma unroll 1
  for (int slab = share.begin; slab < share.end; ++slab) {
#pragma unroll 1
    for (int quad = 0; quad < kQuads; ++quad) {
      fetcher.quad(a.shared_down, slab * kSlabRows + quad * kQuadRows, quad);
    }
#pragma unroll 1
    for (int i = 0; i < count; ++i) fetcher.slab(plan.outer, copy, kCopies, active[i], slab);
  }
}

}  // namespace glm::kernels::cuda
