// What the threads of product_wgmma.cu that fill stages and those that empty them have in common:
// the order of tiles, the ring of stages, and where they lie.
#pragma once

#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/shared_loads.cuh"
#include "kernels/cuda/wgmma_plan.h"
#include "kernels/device/cluster.cuh"

namespace glm::kernels::cuda {

constexpr int kGroupThreads = 128;  // of a warpgroup

struct Tile {
  RowTile rows;
  int m_block;
  std::uint32_t out_rows = 0;  // their shared address, where they are staged
};

__device__ inline int tiles_of(const Product& a, const WgmmaPlan& plan) {
  const int row_tiles =
      a.row_group != nullptr ? *a.tile_count : static_cast<int>(a.groups) * plan.row_tiles;
  return row_tiles * plan.m_blocks;
}

// Tiles of the same activations come one after the other.
__device__ inline Tile tile_at(const Product& a, const WgmmaPlan& plan, int index) {
  const int at = index / plan.m_blocks;
  const int m_block = index % plan.m_blocks;
  if (a.row_group != nullptr) return {a.tiles[at], m_block};
  const int first = at % plan.row_tiles * plan.tile_rows;
  return {{.group = at / plan.row_tiles,
           .first = first,
           .count = min(plan.tile_rows, static_cast<int>(a.rows) - first)},
          m_block};
}

// Which tiles a block has, and of these which steps. kCluster: each cluster has one tile, and of its
// steps every block as many.
template <bool kCluster>
__device__ __forceinline__ int first_tile(const WgmmaPlan& plan) {
  return static_cast<int>(blockIdx.x) / (kCluster ? plan.blocks : 1);
}
template <bool kCluster>
__device__ __forceinline__ int next_tile(const WgmmaPlan& plan, int index) {
  return index + static_cast<int>(gridDim.x) / (kCluster ? plan.blocks : 1);
}
template <bool kCluster>
__device__ __forceinline__ int first_step(const WgmmaPlan& plan) {
  return kCluster ? device::cluster_rank() * plan.steps : 0;
}

// Four slices (wgmma_plan.h), one for each warpgroup, are 128 rows as they lie.
template <int kGroups>
constexpr bool kMaySlice = kGroups == 3;
__device__ inline int row_of_slice(int slice, int i) {
  return slice / 4 * 128 + i / 8 * 32 + slice % 4 * 8 + i % 8;
}

// The rows of weights of a tile: two halves, of gate and of up where gated.
struct WeightRows {
  int expert;
  int first;
  int second;
  int end;  // of those that there are
};
template <int kHalfRows>
__device__ __forceinline__ WeightRows weight_rows(const Product& a, const Tile& tile) {
  const int head_row = tile.rows.group * static_cast<int>(a.weight_rows_per_group);
  const int first = head_row + tile.m_block * kHalfRows * (a.gated ? 1 : 2);
  return {.expert = a.row_group != nullptr ? tile.rows.group : 0,
          .first = first,
          .second = a.gated ? first : first + kHalfRows,
          .end = head_row + static_cast<int>(a.outputs)};
}

// A place in the ring of stages, and the parity of the barriers' phase there.
struct Ring {
  int stages;
  int stage = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++stage < stages) return;
    stage = 0;
    parity ^= 1U;
  }
};

struct Shared {
  std::uint8_t* memory;
  std::uint32_t full;  // barriers, one a stage
  std::uint32_t empty;
  std::uint32_t tiles;
};

// Whole warps: what a tile is, for those who store its results, who would wait for memory.
__device__ __forceinline__ void stage_tile(const Product& a, const WgmmaPlan& plan,
                                           const Shared& shared, const Tile& tile, int slot) {
  auto* to = reinterpret_cast<int*>(shared.memory + plan.tiles_at +
                                    static_cast<unsigned>(slot) * plan.tile_slot);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (lane == 0) {
    *reinterpret_cast<int4*>(to) =
        int4{tile.rows.group, tile.rows.first, tile.rows.count, tile.m_block};
  }
  constexpr int kWords = kWgmmaTileBytes / 4;
  const int places = static_cast<int>(plan.tile_slot) / 4 - kWords;
  for (int i = lane; i < min(places, tile.rows.count); i += 32) {
    to[kWords + i] = static_cast<int>(tile_row(a, tile.rows, i));
  }
}
__device__ __forceinline__ Tile staged_tile(const WgmmaPlan& plan, const Shared& shared, int slot) {
  const std::uint32_t from = shared.tiles + static_cast<unsigned>(slot) * plan.tile_slot;
  const uint4 words = shared_octets(from);
  return {{.group = static_cast<int>(words.x),
           .first = static_cast<int>(words.y),
           .count = static_cast<int>(words.z)},
          static_cast<int>(words.w),
          plan.tile_slot > kWgmmaTileBytes ? from + kWgmmaTileBytes : 0};
}

}  // namespace glm::kernels::cuda
