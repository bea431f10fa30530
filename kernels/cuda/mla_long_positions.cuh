// The positions of mla_decode_long.cu: how their rows get into shared memory, their scores and
// values.
#pragma once

#include "kernels/cuda/mla_decode_rows.cuh"
#include "kernels/cuda/mla_long_block.cuh"

namespace glm::kernels::cuda::mla_long {

// Copies units of tiles, by warps of the last two warpgroups.
class Fetcher {
 public:
  __device__ Fetcher(const Args& a, const Range& range, const CUtensorMap& map, Shared& shared,
                     std::uint32_t memory)
      : table_(a.one.rows.table + range.sequence * a.one.rows.table_stride + range.first),
        range_(range),
        map_(map),
        shared_(shared),
        memory_(memory) {
    hold_pages(0);
  }
  // Those there is room for at first, but not of the tile that has the token's own row, which is
  // not in memory yet.
  __device__ void start() {
    const int unit = warp_of() - kFirstWarp;
    const int tiles = range_.count - (range_.has_own() ? 1 : 0);
    if (unit >= 0 && unit < min(kSlots, tiles * kUnits)) copy(unit);
  }
  // By the warp that has written that row.
  __device__ void start_own() {
    device::memory_is_written();
    __syncwarp();
    const int first = (range_.count - 1) * kUnits;
#pragma unroll 1
    for (int unit = first; unit < min(kSlots, first + kUnits); ++unit) copy(unit);
  }
  // Into what a tile has been read from.
  __device__ void next(int tile) {
    const int own = warp_of() - (kWarps - kUnits);
    const int unit = tile * kUnits + kSlots + own;
    if (own >= 0 && unit < range_.count * kUnits) copy(unit);
  }

 private:
  static constexpr int kFirstWarp = kWarps - kSlots;
  __device__ void hold_pages(int first) {
    pages_ = first + lane_of() < range_.count ? table_[first + lane_of()] : 0;
    first_ = first;
  }
  __device__ void copy(int unit) {
    const int tile = unit / kUnits;
    if (tile >= first_ + kWarpThreads) hold_pages(tile);
    const std::int32_t page = __shfl_sync(0xFFFFFFFFU, pages_, tile - first_);
    const int box = lane_of();
    const std::uint32_t barrier = shared_.barrier(kUnitCame + unit % kSlots);
    if (box == 0) device::barrier_arrive_expecting(barrier, kUnitBytes);
    __syncwarp();
    if (box >= kUnitBoxes) return;
    device::copy_box(unit_at(memory_, unit) + static_cast<unsigned>(box * groups::kTileBox), map_,
                     {(unit % kUnits * kUnitBoxes + box) * groups::kBoxColumns, 0, page}, barrier,
                     device::read_once_policy());
  }

  const std::int32_t* table_;
  const Range& range_;
  const CUtensorMap& map_;
  Shared& shared_;
  std::uint32_t memory_;
  std::int32_t pages_;
  int first_;  // tile
};

// Rows nobody sees may hold anything, and 0 * NaN would be seen.
__device__ inline void empty_rows(std::uint32_t memory, int tile, int first) {
  constexpr int kPieces = 8;
#pragma unroll 1
  for (int at = first * kPieces + static_cast<int>(threadIdx.x); at < kTile * kPieces;
       at += kThreads) {
#pragma unroll 1
    for (int box = 0; box < groups::kLatentBoxes; ++box) {
      asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};\n" ::"r"(
                       box_at(memory, tile, box) + static_cast<unsigned>(at * 16)),
                   "r"(0)
                   : "memory");
    }
  }
  device::shared_is_written();
}

// The scores of a tile, by the first warpgroup.
__device__ inline void score(groups::Sums& s, std::uint32_t memory, int tile) {
  groups::Sums others = {};  // a product waits for the one before it that has the same sums
  device::hold(s);
  device::hold(others);
  device::warpgroup_begin();
  std::uint64_t asked = device::right_side(memory + kQueriesAt);
#pragma unroll 1  // code that runs for the first time is slow
  for (int u = 0; u < kUnits; ++u) {
    const std::uint64_t keys = device::right_side(unit_at(memory, tile * kUnits + u));
#pragma unroll
    for (unsigned box = 0; box < kUnitBoxes; ++box) {
#pragma unroll
      for (unsigned k = 0; k < 4; k += 2) {
        const std::uint64_t key = keys + box * (groups::kTileBox / 16) + 2 * k;
        const std::uint64_t query = asked + box * (groups::kHeadsBox / 16) + 2 * k;
        groups::multiply_24<false>(s, key, query);
        groups::multiply_24<false>(others, key + 2, query + 2);
      }
    }
    asked += kUnitBoxes * (groups::kHeadsBox / 16);
  }
  device::warpgroup_commit();
  device::warpgroup_wait<0>();
  device::hold(s);
  device::hold(others);
#pragma unroll
  for (int i = 0; i < groups::kHeadTiles * 4; ++i) s[i] += others[i];
}

// Adds the tile's values, weighed: this warpgroup's boxes of latents.
__device__ inline void add_values(groups::Sums (&values)[kOwnBoxes], const Shared& shared,
                                  std::uint32_t memory, int tile, int group) {
#pragma unroll
  for (int j = 0; j < groups::kHeadTiles; ++j) {
    const float2 shrink =
        *reinterpret_cast<const float2*>(&shared.weighing.shrink[8 * j + lane_of() % 4 * 2]);
#pragma unroll
    for (groups::Sums& box : values) {
      box[4 * j] *= shrink.x;
      box[4 * j + 1] *= shrink.y;
      box[4 * j + 2] *= shrink.x;
      box[4 * j + 3] *= shrink.y;
    }
  }
#pragma unroll
  for (groups::Sums& box : values) device::hold(box);
  device::warpgroup_begin();
  const std::uint64_t weights = device::right_side(memory + kEarlyAt);
#pragma unroll
  for (unsigned k = 0; k < kTile / 16; ++k) {
#pragma unroll
    for (int i = 0; i < kOwnBoxes; ++i) {
      const std::uint64_t latents = device::right_side(box_at(memory, tile, group * kOwnBoxes + i));
      groups::multiply_24<true>(values[i], latents + 128 * k, weights + 2 * k);
    }
  }
  device::warpgroup_commit();
  device::warpgroup_wait<0>();
#pragma unroll
  for (groups::Sums& box : values) device::hold(box);
}

}  // namespace glm::kernels::cuda::mla_long
