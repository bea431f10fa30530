// Which tiles a block of product_flow.cu or head_choice.cu has (flow_plan.h), and how they come to
// the stages of its ring (sm_90a).
#pragma once

#include "kernels/cuda/flow_ring.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct FlowTile {
  int first_output;
  int weight_rows;
  int first_step;
  int steps;
};

__device__ inline int flow_tiles_of_block(const FlowPlan& plan) {
  const int rest = static_cast<int>(blockIdx.x) < plan.rest_blocks ? 1 : 0;
  return plan.whole_tiles + rest;
}

__device__ inline FlowTile flow_tile_at(const FlowPlan& plan, int number) {
  const auto block = static_cast<int>(blockIdx.x);
  if (number < plan.whole_tiles) {
    return {.first_output = (number * static_cast<int>(gridDim.x) + block) * plan.whole_outputs,
            .weight_rows = kFlowTileRows,
            .first_step = 0,
            .steps = plan.steps};
  }
  const int part = block % plan.parts;
  const int first_step = plan.steps * part / plan.parts;
  return {.first_output = plan.rest_first + block / plan.parts * plan.rest_outputs,
          .weight_rows = plan.rest_rows,
          .first_step = first_step,
          .steps = plan.steps * (part + 1) / plan.parts - first_step};
}

// Goes through the steps of this block's tiles.
struct FlowCursor {
  const FlowPlan& plan;
  int number = 0;
  int step = 0;
  FlowTile tile;
  __device__ explicit FlowCursor(const FlowPlan& p) : plan(p), tile(flow_tile_at(p, 0)) {}
  __device__ bool there() const { return number < flow_tiles_of_block(plan); }
  __device__ void next() {
    if (++step < tile.steps) return;
    step = 0;
    tile = flow_tile_at(plan, ++number);
  }
};

template <class Codec, int kRows>
class FlowFiller {
 public:
  __device__ FlowFiller(const FlowMaps& maps, const FlowPlan& plan, bool gated,
                        const FlowRing& ring)
      : maps_(maps), plan_(plan), gated_(gated), ring_(ring), policy_(device::read_once_policy()) {}

  __device__ void run() {
    FlowCursor weights(plan_);
    int early = 0;
    for (; early < plan_.stages && weights.there(); ++early, weights.next()) {
      copy_weights(weights, early);  // they depend on nothing
    }
    device::wait_for_earlier_kernels();
    FlowCursor rows(plan_);
    for (int i = 0; i < early; ++i, rows.next()) copy_rows(rows, i);
    for (; weights.there(); weights.next()) {
      device::barrier_wait(ring_.empty + 8 * ring_.stage, ring_.parity);
      copy_weights(weights, ring_.stage);
      copy_rows(weights, ring_.stage);
      ring_.next();
    }
  }

 private:
  __device__ int column_of(const FlowCursor& c) const {
    return (c.tile.first_step + c.step) * Codec::kDepth;
  }
  __device__ void copy_weights(const FlowCursor& c, int stage) const {
    const FlowTile& tile = c.tile;
    device::barrier_arrive_expecting(
        ring_.full + 8 * stage,
        static_cast<unsigned>(tile.weight_rows + kRows * Codec::kBoxes) * kFlowRowBytes);
    const bool whole = tile.weight_rows == kFlowTileRows;
    const int column = column_of(c);
    device::copy_box(ring_.at(stage), whole ? &maps_.whole : &maps_.rest,
                     {.first = column,
                      .second = gated_ ? 0 : tile.first_output,
                      .third = 0,
                      .outer = gated_ ? tile.first_output / (kFlowGatedRows / 2) : 0},
                     ring_.full + 8 * stage, policy_);
  }
  __device__ void copy_rows(const FlowCursor& c, int stage) const {
#pragma unroll
    for (int box = 0; box < Codec::kBoxes; ++box) {
      device::copy_box(ring_.at(stage) + plan_.rows_at + box * (kRows * kFlowRowBytes), maps_.rows,
                       {.column = column_of(c) + box * kFlowDepth, .middle = 0, .outer = 0},
                       ring_.full + 8 * stage);
    }
  }

  const FlowMaps& maps_;
  const FlowPlan& plan_;
  bool gated_;
  FlowRing ring_;
  std::uint64_t policy_;
};

#endif

}  // namespace glm::kernels::cuda
