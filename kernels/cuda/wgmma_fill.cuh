// How product_wgmma.cu keeps its ring of stages full: one warp says which tile comes next and where
// its results belong, and one of its lanes copies by tensor maps, also across tiles. A copy takes
// that lane some 80 cycles, so activations are left to a second warp where there is one.
#pragma once

#include "kernels/cuda/wgmma_maps.h"
#include "kernels/cuda/wgmma_stages.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Scales that are copied, of two stages: a row of them is as long as one that is laid for one.
template <int kGroups>
constexpr unsigned kCopiedSlot = kGroups* kWgmmaGroupRows * 2 * kWgmmaCopiedBytes;
static_assert(2 * kWgmmaCopiedBytes == kWgmmaScaleBytes);

enum class Fills { all, weights, rows };

// By one warp.
template <class Codec, int kGroups, Fills kFills, bool kCluster>
class StageFiller {
 public:
  __device__ StageFiller(const Product& a, const WgmmaPlan& plan, const WgmmaMaps& maps,
                         const Shared& shared)
      : a_(a),
        plan_(plan),
        maps_(maps),
        shared_(shared),
        memory_(device::shared_address(shared.memory)),
        ring_{plan.stages} {}

  __device__ __forceinline__ void fill_all() {
    const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
    int slot = 0;
    // Asked for with the count of them: there is memory for as many as there are blocks.
    Tile tile = tile_at(a_, plan_, first_tile<kCluster>(plan_));
    const int tiles = tiles_of(a_, plan_);
    for (int index = first_tile<kCluster>(plan_); index < tiles;) {
      if constexpr (kFills != Fills::rows) {
        stage_tile(a_, plan_, shared_, tile, slot);
        slot = (slot + 1) % kWgmmaTileSlots;
        __syncwarp();  // the tile is there for whoever sees its first stage full
      }
      if (lane == 0) fill(tile);
      index = next_tile<kCluster>(plan_, index);
      if (index < tiles) tile = tile_at(a_, plan_, index);
    }
    // Not before: blocks of later kernels would only wait, and where they do others find no room.
    if (kFills != Fills::rows && lane == 0) device::let_later_kernels_start();
  }

 private:
  static constexpr int kHalfRows = kGroups * kWgmmaGroupRows / 2;
  static constexpr int kDepth = Codec::kDepth;

  // What all stages of a tile have in common.
  struct TileCopy {
    WeightRows rows;
    const CUtensorMap& x;
    int first;  // of activations
    int group;
    int boxes;
    unsigned bytes;
    int slice;
    int slices_of;  // the first 32 rows of weights of the expert's
  };
  __device__ __forceinline__ TileCopy copy_of(const Tile& tile) const {
    const bool fewest = plan_.fewest_rows > 0 && plan_.fewest_rows >= tile.rows.count;
    const int box_rows = fewest ? plan_.fewest_rows : plan_.box_rows;
    const int boxes = fewest ? 1 : (tile.rows.count + box_rows - 1) / box_rows;
    return {.rows = weight_rows<kHalfRows>(a_, tile),
            .x = fewest ? maps_.fewest_x : maps_.x,
            .first = tile.rows.first,
            .group = a_.row_group != nullptr ? 0 : tile.rows.group,
            .boxes = boxes,
            .bytes = static_cast<unsigned>(boxes * box_rows * kDepth * 2) +
                     2 * kHalfRows * Codec::kRowBytes,
            .slice = tile.m_block * kGroups,
            .slices_of = tile.rows.group * (static_cast<int>(a_.outputs) / kWgmmaSliceRows)};
  }

  __device__ __forceinline__ void fill(const Tile& tile) {
    const TileCopy copy = copy_of(tile);
#pragma unroll 1
    for (int step = first_step<kCluster>(plan_), end = step + plan_.steps; step < end; ++step) {
      device::barrier_wait(shared_.empty + 8U * static_cast<unsigned>(ring_.stage),
                           ring_.parity ^ 1U);
      if constexpr (kFills != Fills::rows) copy_weights(copy, step, ring_.stage);
      if constexpr (kFills != Fills::weights) copy_rows(copy, step, ring_.stage);
      ring_.advance();
    }
  }

  __device__ std::uint32_t full(int stage) const {
    return shared_.full + 8U * static_cast<unsigned>(stage);
  }
  __device__ std::uint32_t at(int stage) const {
    return memory_ + static_cast<unsigned>(stage) * plan_.stage;
  }

  // Of weights and what belongs to them; the barrier is told of the activations as well.
  __device__ __forceinline__ void copy_weights(const TileCopy& copy, int step, int stage) const {
    const bool scales = Codec::kCopied && step % 2 == 0;
    const std::uint32_t barrier = full(stage);
    device::barrier_arrive_expecting(barrier,
                                     scales ? copy.bytes + kCopiedSlot<kGroups> : copy.bytes);
    const WeightRows& rows = copy.rows;
    const int from = step * static_cast<int>(Codec::kRowBytes / Codec::kElementBytes);
    const std::uint32_t to = at(stage) + plan_.weights_at;
    if (kMaySlice<kGroups> && plan_.sliced) {
      copy_slices(copy, {to, from, barrier});
    } else {
      device::copy_box(to, maps_.weight, {from, rows.first, rows.expert}, barrier);
      device::copy_box(to + kHalfRows * Codec::kRowBytes, maps_.up,
                       {from, rows.second, rows.expert}, barrier);
    }
    if (!scales) return;
    const std::uint32_t slot =
        memory_ + plan_.copied_at + static_cast<unsigned>(stage / 2) * kCopiedSlot<kGroups>;
    const int scales_from = step * static_cast<int>(kWgmmaCopiedBytes);
    device::copy_box(slot, maps_.scales, {scales_from, rows.first, rows.expert}, barrier);
    device::copy_box(slot + kCopiedSlot<kGroups> / 2, maps_.up_scales,
                     {scales_from, rows.second, rows.expert}, barrier);
  }

  struct StageCopy {
    std::uint32_t to;
    int from;  // the first element of rows
    std::uint32_t full;
  };
  // Where outputs are dealt: maps have 32 rows as a matrix of four eights.
  __device__ __forceinline__ void copy_slices(const TileCopy& copy, const StageCopy& stage) const {
    constexpr unsigned kBytes = kWgmmaSliceRows * Codec::kRowBytes;
#pragma unroll
    for (int i = 0; i < kGroups; ++i) {
      const int slice = copy.slice + i;
      const device::BoxAt box = {stage.from, slice % 4 * 8, copy.slices_of + slice / 4 * 4};
      const std::uint32_t to = stage.to + static_cast<unsigned>(i) * kBytes;
      device::copy_box(to, maps_.weight, box, stage.full);
      device::copy_box(to + kGroups * kBytes, maps_.up, box, stage.full);
    }
  }

  __device__ __forceinline__ void copy_rows(const TileCopy& copy, int step, int stage) const {
#pragma unroll
    for (int k = 0; k < kDepth / 64; ++k) {
      const std::uint32_t to =
          at(stage) + static_cast<unsigned>(k * plan_.tile_rows) * kWgmmaRowBytes;
#pragma unroll 1
      for (int box = 0; box < copy.boxes; ++box) {
        device::copy_box(to + static_cast<unsigned>(box * plan_.box_rows) * kWgmmaRowBytes, copy.x,
                         {step * kDepth + k * 64, copy.first + box * plan_.box_rows, copy.group},
                         full(stage));
      }
    }
  }

  const Product& a_;
  const WgmmaPlan& plan_;
  const WgmmaMaps& maps_;
  const Shared& shared_;
  std::uint32_t memory_;
  Ring ring_;
};

#endif

}  // namespace glm::kernels::cuda
