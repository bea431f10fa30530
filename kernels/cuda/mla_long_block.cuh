// What the parts of mla_decode_long.cu share: dimensions, where things lie in shared memory, and
// which pages a block reads.
#pragma once

#include <cuda.h>

#include "kernels/cuda/mla_decode_batch_block.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::cuda::mla_long {

namespace groups = device::latent_groups;
using device::kWarpThreads;
using groups::kTile;
using mla_batch::Args;
using mla_batch::kOwnLatents;
using mla_batch::Meeting;
using mla_decode::kBlocks;
using mla_decode::kOwnNope;
using mla_decode::kOwnQuery;
using mla_decode::kOwnTurned;
using mla_decode::kOwnValues;
using mla_decode::kPart;
using mla_decode::kQueryParts;
using mla_decode::kQueryWarps;
using mla_decode::kRank;
using mla_decode::kThreads;
using mla_decode::kTileRows;
using mla_decode::kTurned;
using mla_decode::kTurnWarp;
using mla_decode::kValueParts;
using mla_decode::kValueTiles;
using mla_decode::kWarps;
using mla_decode::kWidth;
using mla_decode::lane_of;
using mla_decode::warp_of;
static_assert(kTile == device::kRowsOfPage);

// Cached rows lie in a ring of units: boxes of a tile that are copied together.
constexpr int kUnitBoxes = 3;
constexpr int kUnits = groups::kBoxes / kUnitBoxes;  // of a tile
constexpr int kSlots = 8;
constexpr int kUnitBytes = kUnitBoxes * groups::kTileBox;
constexpr int kGroupThreads = groups::kGroupWarps * kWarpThreads;
constexpr int kOwnBoxes = groups::kLatentBoxes / (kWarps / groups::kGroupWarps);

constexpr int kScoresBarrier = 3;  // of the first warpgroup
constexpr int kAskedBarrier = 4;   // of who finishes the query and who multiplies it with W_UK
constexpr int kAskedThreads = kOwnQuery + kBlocks * kWarpThreads;

// Until the queries of this block's head are in memory.
struct Early {
  uint4 normed[mla_decode::kQRank / 8];  // arranged for the product
  float sums[kQueryParts][kOwnQuery];    // of warps
  float parts[kBlocks][kOwnLatents];     // sent: of the absorbed query, this block's
  __nv_bfloat16 query[kOwnQuery];
  float2 turns[kTurned / 2];
  float squares[mla_decode::kNormThreads / kWarpThreads];
};

// After the last tile, in the place of the ring: results, and what follows from those of all.
struct Late {
  float4 values[kWarps][kOwnLatents / 4];  // of warps
  float2 said[kWarps];                     // highest score, sum
  __nv_bfloat16 mixed[kRank];              // sent: values of all positions
  float sums[kValueParts][kOwnValues];     // of warps
};
constexpr int kLateAt = (groups::kHeads * groups::kResultPitch + 127) / 128 * 128;

enum Barrier : unsigned { kPartsCame, kMixedCame, kUnitCame, kBarriers = kUnitCame + kSlots };
struct Shared {
  std::uint64_t barriers[kBarriers];
  groups::Weighing weighing;

  __device__ std::uint32_t barrier(unsigned which) {
    return device::shared_address(&barriers[which]);
  }
};

constexpr int kQueriesAt = kSlots * kUnitBytes;
constexpr int kEarlyAt = kQueriesAt + groups::kQueryBytes;
constexpr int kSharedAt =
    kEarlyAt + (std::max<int>(sizeof(Early), groups::kWeightBytes) + 127) / 128 * 128;
constexpr int kSharedBytes = kSharedAt + sizeof(Shared);
static_assert(kEarlyAt % 1024 == 0 && kLateAt + sizeof(Late) <= kQueriesAt &&
              kSharedBytes <= 227 * 1024);

// The pages that a block reads: a tile each.
struct Range {
  int sequence;
  int own;  // position of the token
  int first;
  int count;

  __device__ static int pages(const Args& a) { return a.one.turns.positions[0] / kTile + 1; }
  __device__ static Range of(const Args& a, int block) {
    const int all = pages(a);
    const int each = all / a.splits;
    const int more = all % a.splits;
    return {.sequence = a.one.sequences[0],
            .own = a.one.turns.positions[0],
            .first = block * each + min(block, more),
            .count = each + (block < more ? 1 : 0)};
  }
  // Whether the token's own row is in the last of these tiles; a place that is padding has none.
  __device__ bool has_own() const {
    return own >= 0 && count > 0 && own / kTile == first + count - 1;
  }
  __device__ int rows(int tile) const { return min(kTile, own + 1 - (first + tile) * kTile); }
  // Blocks that have any.
  __device__ int readers(const Args& a) const { return min(own / kTile + 1, a.splits); }
};

__device__ inline std::uint32_t unit_at(std::uint32_t memory, int unit) {
  return memory + static_cast<unsigned>(unit) % kSlots * kUnitBytes;
}
__device__ inline std::uint32_t box_at(std::uint32_t memory, int tile, int box) {
  return unit_at(memory, tile * kUnits + box / kUnitBoxes) +
         static_cast<unsigned>(box % kUnitBoxes * groups::kTileBox);
}

}  // namespace glm::kernels::cuda::mla_long
