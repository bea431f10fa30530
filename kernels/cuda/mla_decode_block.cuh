// What the parts of mla_decode.cu share: dimensions, what a block keeps in shared memory, and
// products with one column of activations.
#pragma once

#include "kernels/device/attention_source.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/sync_threads.cuh"
#include "kernels/device/turn.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda::mla_decode {

using device::kWarpThreads;

constexpr int kQRank = 768;
constexpr int kRank = 512;
constexpr int kTurned = 64;
constexpr int kWidth = kRank + kTurned;
constexpr int kNope = 192;
constexpr int kQuery = kNope + kTurned;
constexpr int kValue = 256;
constexpr int kHeadRows = kNope + kValue;  // of kv_b

constexpr int kBlocks = 4;  // that share a head's weights
constexpr int kHeads = 2;   // of a cluster, whose blocks share the cached rows
constexpr int kClusterBlocks = kHeads * kBlocks;
constexpr int kWarps = 16;
constexpr int kThreads = kWarps * kWarpThreads;
constexpr int kTileRows = 16;  // outputs of a tensor-core tile
constexpr int kPart = 128;     // columns of a product of stored rows that a warp takes

// Queries: tiles of numbers that are not turned, and one of numbers that are.
constexpr int kOwnNope = kNope / kBlocks;
constexpr int kOwnTurned = kTurned / kBlocks;
constexpr int kOwnQuery = kOwnNope + kOwnTurned;
constexpr int kQueryTiles = kOwnQuery / kTileRows;
constexpr int kQueryParts = kQRank / kPart;
constexpr int kTilesOfWarp = 2;
constexpr int kQueryWarps = kQueryTiles / kTilesOfWarp * kQueryParts;
static_assert(kOwnNope % kTileRows == 0 && kOwnTurned == kTileRows && kQueryWarps < kWarps);

// Absorption: 64 columns by 16 rows at a time, by the other warps.
constexpr int kUnfoldedColumns = 64;
constexpr int kUnfoldWarps = kWarps - kQueryWarps;
constexpr int kUnfoldSteps = kOwnNope / 16;
constexpr int kUnfoldColumns = kRank / kUnfoldedColumns / kUnfoldWarps;  // of a warp, times 64

constexpr int kOwnValues = kValue / kBlocks;
constexpr int kValueTiles = kOwnValues / kTileRows;
constexpr int kValueParts = kRank / kPart;
static_assert(kValueTiles * kValueParts == kWarps);

constexpr int kRows = 80;                // cached rows of a chunk
constexpr int kStages = 2;               // chunks that a block has room for
constexpr int kPitch = kWidth * 2 + 16;  // bytes from row to row: other banks
constexpr int kChunkBytes = kRows * kPitch;
constexpr int kRowTiles = kRows / 16;
constexpr int kRowsHeld = (kRows + kWarpThreads - 1) / kWarpThreads * kWarpThreads;
constexpr int kSplits = 12;  // of a row's columns, for scores: a warp each
constexpr int kSteps = kWidth / 16 / kSplits;
constexpr int kLatentTiles = kRank / 16 / kWarps;

constexpr int kNormThreads = kQRank / 8;
constexpr int kNormBarrier = 1;
constexpr int kQueryBarrier = 2;
// Warps with a task beside what all do.
constexpr int kRowWarp = kQueryWarps;
constexpr int kTurnWarp = kQueryWarps - 1;

struct Args {
  __nv_bfloat16* out;
  std::int64_t out_token;
  std::int64_t out_head;
  const __nv_bfloat16* query;
  std::int64_t query_stride;
  const __nv_bfloat16* row;
  std::int64_t row_stride;
  const __nv_bfloat16* q_norm;
  const __nv_bfloat16* kv_norm;
  float eps;
  float scale_log2;
  device::Weight q_b;
  device::Weight kv_b;
  device::Turns turns;
  device::PagedRows<> rows;
  const std::int32_t* sequences;
};

enum Barrier : unsigned { kAbsorbedCame, kValuesCame, kRowsCame, kBarriers = kRowsCame + kStages };

struct Sums {
  float scores[kSplits][kHeads][kRowsHeld];
  float own[kHeads][kRank];  // values about to be sent
};
struct __align__(16) Shared {
  std::uint64_t barriers[kBarriers];
  uint4 normed[kQRank / 8];  // arranged for the product
  union {
    float parts[kHeads][kBlocks][kRank];  // sent: of the absorbed queries
    Sums sums;                            // once those are added up
  };
  float values[kClusterBlocks][kRank];     // sent, of the block's head
  float2 said[kClusterBlocks];             // sent: highest score, sum
  __nv_bfloat16 absorbed[kHeads][kWidth];  // the end, what is turned, is sent
  __nv_bfloat16 query[kOwnQuery];
  __nv_bfloat16 fresh[kWidth];            // the token's own row
  __nv_bfloat16 mixed[kRank];             // values of all positions
  float partial[kQueryParts][kOwnQuery];  // sums of warps
  __nv_bfloat16 weights[kHeads][kRows];
  float shrink[kHeads];
  float squares[kNormThreads / kWarpThreads];
  float2 turns[kTurned / 2];

  __device__ std::uint32_t barrier(unsigned which) {
    return device::shared_address(&barriers[which]);
  }
};
constexpr int kTileAt = (sizeof(Shared) + 127) / 128 * 128;
constexpr int kSharedBytes = kTileAt + kStages * kChunkBytes;
static_assert(kSharedBytes <= 227 * 1024);

__device__ inline int lane_of() {
  return static_cast<int>(threadIdx.x) % kWarpThreads;
}
__device__ inline int warp_of() {
  return static_cast<int>(threadIdx.x) / kWarpThreads;
}
// One of the tensor-core tile's eight columns is the token: four lanes have it.
__device__ inline bool has_token() {
  return lane_of() < 4;
}

// Decoded here, and not where it is used.
template <int kCount>
__device__ inline void pin(std::uint32_t (&fragments)[kCount][4]) {
#pragma unroll
  for (std::uint32_t(&four)[4] : fragments) {
    asm volatile("" : "+r"(four[0]), "+r"(four[1]), "+r"(four[2]), "+r"(four[3]));
  }
}

// Sixteen outputs times kPart columns of weights as they are stored, in a warp's registers: read
// early, and decoded before what they are multiplied with is there.
template <class Fetch>
class StoredPart {
 public:
  // Rows lane / 4 and lane / 4 + 8 of the tile.
  __device__ void read(const device::Weight& w, std::int64_t row, std::int64_t other, int part) {
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int c = part * kPart + (i * 4 + lane_of() % 4) * Fetch::kColumns;
      raw_[i][0] = Fetch::read(w, row, static_cast<std::uint32_t>(c));
      raw_[i][1] = Fetch::read(w, other, static_cast<std::uint32_t>(c));
    }
  }
  __device__ void decode() {
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const typename Fetch::Ready weights = Fetch::ready(raw_[piece][row]);
#pragma unroll
        for (int i = 0; i < kStepsOfPiece; ++i) {
          std::uint32_t(&pairs)[4] = pairs_[piece * kStepsOfPiece + i];
          pairs[row] = Fetch::pair(weights, i, 0);
          pairs[2 + row] = Fetch::pair(weights, i, 1);
        }
      }
    }
  }
  // `octet(c)`: columns [c, c + 8) of the part of the activation, arranged; zeros unless has_token.
  template <typename Octet>
  __device__ void multiply(float (&sums)[4], const Octet& octet) const {
    constexpr int kOfPiece = Fetch::kColumns / 8;
    float others[4] = {};  // two chains of sums are sooner at their end than one
#pragma unroll
    for (int j = 0; j < kPieces * kOfPiece; ++j) {
      const uint4 eight = octet(((j / kOfPiece * 4 + lane_of() % 4) * kOfPiece + j % kOfPiece) * 8);
      device::mma_16x8x16(sums, pairs_[2 * j], eight.x, eight.y);
      device::mma_16x8x16(others, pairs_[2 * j + 1], eight.z, eight.w);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[i] += others[i];
  }

 private:
  static constexpr int kPieces = kPart / (4 * Fetch::kColumns);
  static constexpr int kStepsOfPiece = Fetch::kColumns / 4;

  typename Fetch::Raw raw_[kPieces][2];
  std::uint32_t pairs_[kPieces * kStepsOfPiece][4];
};

// A tile's sums for the token.
__device__ inline void leave_sums(float* to, const float (&sums)[4]) {
  if (lane_of() % 4 == 0) {
    to[lane_of() / 4] = sums[0];
    to[lane_of() / 4 + 8] = sums[2];
  }
}

}  // namespace glm::kernels::cuda::mla_decode
