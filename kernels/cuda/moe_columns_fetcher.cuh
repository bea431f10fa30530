// The warps of moe_columns.cu that bring weights to the stages: quads of the shared expert's first
// half, slabs of the routed experts' first halves, quads of the shared expert's second half and
// slabs of all experts. Each lane brings a copy.
#pragma once

#include "kernels/cuda/moe_columns_block.cuh"

namespace glm::kernels::cuda {

// kShared: the shared expert is coded as well, and its slabs are as the others.
template <bool kShared>
class ColumnsFetcher {
 public:
  // Number `own` of those that fetch: slabs are theirs in turns, as a copy takes long to begin.
  __device__ ColumnsFetcher(const ColumnsBlock& block, int own)
      : b_(block),
        own_(own),
        lane_(lane_index()),
        stages_(device::shared_address(b_.at(b_.plan.stages_at))),
        policy_(device::read_once_policy()),
        next_{.stages = b_.plan.stages} {}

  // The shared expert's first half: it depends on nothing.
  __device__ void begin() {
    if constexpr (kShared) {
      coded_wide();
    } else {
      wide();
    }
    routed_ = b_.routed_share();
    inner_ = b_.plan.inner_copies[lane_ % kColumnCopies];
    // Now, not when they are used.
    asm volatile(""
                 : "+l"(inner_.from), "+l"(inner_.expert_bytes), "+l"(inner_.slab_bytes),
                   "+r"(inner_.to), "+r"(inner_.bytes), "+r"(routed_.begin), "+r"(routed_.end));
  }
  // When the choice is known.
  __device__ void go_on() {
    int entry = b_.entry_of(routed_.begin);
    int slab = routed_.begin - entry * b_.plan.inner.slabs;
    b_.wait_to_know(kChosen);
#pragma unroll 1
    for (int at = routed_.begin; at < routed_.end; ++at) {
      fetch(b_.plan.inner, inner_, b_.routing.ids[entry], slab);
      if (++slab < b_.plan.inner.slabs) continue;
      slab = 0;
      ++entry;
    }
    const ColumnsCopy outer = b_.plan.outer_copies[lane_ % kColumnCopies];
    const Share share = b_.hidden_share();
    if (share.begin == share.end) return;
    if constexpr (kShared) {
      fetch(b_.plan.outer, b_.plan.shared_copies[lane_ % kColumnCopies], 0, share.begin);
    } else {
      if (own_ == 0 && lane_ < kQuads) {
        const Ring at = next_.after(lane_);
        wait_for_room(at);
        quad(b_.a.shared_down, share.begin * kSlabRows + lane_ * kQuadRows, lane_, at.stage);
      }
      __syncwarp();  // quads are asked for
      advance(kQuads);
    }
#pragma unroll 1
    for (int i = 0; i < b_.a.rule.chosen; ++i) {
      fetch(b_.plan.outer, outer, b_.routing.ids[i], share.begin);
    }
  }

 private:
  __device__ void wait_for_room(const Ring& at) const {
    device::barrier_wait(b_.empty(at.stage), at.parity ^ 1U);
  }
  __device__ void advance(int items) {
    next_ = next_.after(items);
    items_ += items;
  }
  __device__ void wide() {
    const Share share = b_.wide_share();
    const int items = (share.end - share.begin) * kQuads;
    if (own_ == 0 && lane_ < items) {
      const int number = lane_ % kQuads;
      const device::Weight& w = number < kQuads / 2 ? b_.a.shared_gate : b_.a.shared_up;
      const int row = (share.begin + lane_ / kQuads) * (kSlabRows / 2) + number % 2 * kQuadRows;
      quad(w, row, number, lane_);
    }
    __syncwarp();  // quads are asked for
    advance(items);
  }
  // Slabs at once, a lane a copy, before others may know that barriers are set up.
  __device__ void coded_wide() {
    const Share share = b_.wide_share();
    const int slabs = share.end - share.begin;
    const int own = lane_ / kColumnCopies;
    const bool fetches = own_ == 0 && own < slabs;
    if (fetches && lane_ % kColumnCopies == 0) {
      device::barrier_arrive_expecting(b_.full(own), b_.plan.inner.stage_copied);
    }
    __syncwarp();  // bytes are announced
    if (fetches) copy(b_.plan.wide_copies[lane_ % kColumnCopies], 0, share.begin + own, own);
    __syncwarp();  // slabs are asked for
    advance(slabs);
  }
  // Four rows in bf16. Every other quad is shifted, so that rows of two neighbouring quads lie in
  // different banks.
  __device__ void quad(const device::Weight& w, int row, int number, int stage) const {
    const auto bytes = static_cast<unsigned>(kQuadRows * w.row_bytes);
    device::barrier_arrive_expecting(b_.full(stage), bytes);
    device::bulk_copy(stages_ + static_cast<unsigned>(stage) * b_.plan.stage +
                          static_cast<unsigned>(number) % 2 * kQuadShift,
                      w.data + row * w.row_bytes, bytes, b_.full(stage), policy_);
  }
  __device__ void copy(const ColumnsCopy& own, int expert, int slab, int stage) const {
    device::bulk_copy(stages_ + static_cast<unsigned>(stage) * b_.plan.stage + own.to,
                      own.from + expert * own.expert_bytes + slab * own.slab_bytes, own.bytes,
                      b_.full(stage), policy_);
  }
  // A slab. Not several at once: they would only queue in front of what others need.
  __device__ void fetch(const BulkPlan& plan, const ColumnsCopy& own, int expert, int slab) {
    if (items_ % kFetchers == own_) {
      wait_for_room(next_);
      if (lane_ == 0) {
        device::barrier_arrive_expecting(b_.full(next_.stage), plan.stage_copied);
      }
      __syncwarp();  // bytes are announced
      if (lane_ < kColumnCopies) copy(own, expert, slab, next_.stage);
    }
    advance(1);
  }

  const ColumnsBlock& b_;
  int own_;
  int lane_;
  std::uint32_t stages_;
  std::uint64_t policy_;
  Ring next_;
  int items_ = 0;  // asked for so far
  ColumnsCopy inner_;
  Share routed_;
};

}  // namespace glm::kernels::cuda
