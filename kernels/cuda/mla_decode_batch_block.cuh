// What the parts of mla_decode_batch.cu share: dimensions, what blocks leave each other in memory,
// and what a block keeps in shared memory.
#pragma once

#include <algorithm>

#include "kernels/cuda/mla_decode_block.cuh"
#include "kernels/cuda/mla_decode_query.cuh"
#include "kernels/device/awaited.cuh"
#include "kernels/device/latent_groups.cuh"

namespace glm::kernels::cuda::mla_batch {

namespace groups = device::latent_groups;
using mla_decode::kBlocks;
using mla_decode::kNope;
using mla_decode::kOwnNope;
using mla_decode::kOwnQuery;
using mla_decode::kOwnTurned;
using mla_decode::kOwnValues;
using mla_decode::kPart;
using mla_decode::kQRank;
using mla_decode::kQueryParts;
using mla_decode::kQueryWarps;
using mla_decode::kRank;
using mla_decode::kThreads;
using mla_decode::kTileRows;
using mla_decode::kTurned;
using mla_decode::kValueParts;
using mla_decode::kValueTiles;
using mla_decode::kWarps;
using mla_decode::kWidth;
using mla_decode::lane_of;
using mla_decode::warp_of;

constexpr int kTokens = 8;  // at most: the columns of a tensor-core tile
constexpr int kRows = groups::kTile;
constexpr int kStages = 2;                    // tiles of cached rows that a block has room for
constexpr int kOwnLatents = kRank / kBlocks;  // of a head's: columns of the query, or values
constexpr int kOwnBoxes = groups::kLatentBoxes / (kWarps / groups::kGroupWarps);
constexpr int kRowWarp = kQueryWarps - 1;  // idle while W_UK is multiplied
constexpr int kScoresBarrier = 3;
constexpr int kUnfoldBarrier = 4;
static_assert(kRank == groups::kLatent && kWidth == groups::kWidth);

// Bytes from token to token: they lie in different banks.
constexpr int kNormedPitch = kQRank * 2 + 16;
constexpr int kOwnQueryPitch = kOwnNope * 2 + 16;
constexpr int kQueryPitch = kNope * 2 + 16;
constexpr int kMixedPitch = kRank * 2 + 16;

constexpr int kHeadsMax = groups::kHeads;
constexpr int kBlocksMax = 128;  // in mla_decode_long.cu more than heads have

// In memory. What is awaited is empty between launches, of the queries those of `turn`.
struct Meeting {
  std::uint32_t turn;
  uint4 asked[2][kTokens][kHeadsMax][kWidth / 8];  // absorbed queries, bf16
  // Of each block, which reads rows of one token: values of all heads, not divided by their sums,
  // bf16, and for each block that reads them, highest score and sum.
  uint4 found[kBlocksMax][kHeadsMax][kRank / 8];
  uint2 said[kBlocksMax][kHeadsMax][kBlocks];
};

struct Args {
  mla_decode::Args one;
  Meeting* meeting;
  int tokens;
  int heads;
  int splits;  // blocks of a token
};

enum Barrier : unsigned { kQueryCame, kMixedCame, kBarriers };

// Until the queries of this block's head are in memory.
struct Asking {
  unsigned char normed[kTokens * kNormedPitch];  // arranged for the product
  float sums[kQueryParts][kTokens][kOwnQuery];   // of warps
  unsigned char query[kTokens * kQueryPitch];    // sent: what is not turned
  float4 halves[2][4][device::kWarpThreads];     // of sums, as lanes hold them
};

struct __align__(16) Shared {
  std::uint64_t barriers[kBarriers];
  unsigned char query[kTokens * kOwnQueryPitch];  // what is not turned, this block's
  unsigned char mixed[kTokens * kMixedPitch];     // sent: values of all positions
  __nv_bfloat16 row[kWidth];                      // of the block's token itself
  float squares[kTokens][mla_decode::kNormThreads / device::kWarpThreads];
  float2 turns[kTokens][kOwnTurned / 2];
  float2 row_turns[kTurned / 2];
  groups::Weighing weighing;
  // From what all blocks found to the results of the head.
  float4 parts[kThreads];                        // highest score, sum, two values
  float sums[kValueParts][kTokens][kOwnValues];  // of warps

  __device__ std::uint32_t barrier(unsigned which) {
    return device::shared_address(&barriers[which]);
  }
};

// Where things lie in shared memory: tiles; queries; weights; the rest. The place of the second
// tile is free when this head's queries are in memory.
constexpr int kSecondAt = groups::kTileBytes;
constexpr int kQueriesAt =
    kSecondAt + (std::max<int>(sizeof(Asking), groups::kTileBytes) + 1023) / 1024 * 1024;
constexpr int kWeightsAt = kQueriesAt + groups::kQueryBytes;
constexpr int kSharedAt = kWeightsAt + groups::kWeightBytes;
constexpr int kSharedBytes = kSharedAt + sizeof(Shared);
static_assert(groups::kHeads * groups::kResultPitch <= groups::kTileBytes);

}  // namespace glm::kernels::cuda::mla_batch
