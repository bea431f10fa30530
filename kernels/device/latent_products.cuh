// The products of absorbed latent attention on tensor cores, by a block of sixteen warps (sm_80 and
// later): scores of a tile of 64 positions, their softmax, and the values they weigh.
//
// Heads are the columns of the products, positions or latents their rows: 20 heads fill 24 columns,
// where they would fill 32 rows. For the scores, warp w owns 16 positions (w % 4) and a quarter of
// the columns (w / 4), and keeps its part of the queries in registers for good; the quarters meet
// in shared memory, where half a warp keeps the softmax of a head. For the values, warp w owns
// latents 32 w .. 32 w + 31.
#pragma once

#include "kernels/device/latent_ring.cuh"

namespace glm::kernels::device::latent {

constexpr int kWidth = kRingWidth;
constexpr int kLatent = kRingLatent;
constexpr int kTile = kRingTile;
constexpr int kPitch = kRingPitch;  // bytes
constexpr int kHalf = kRingHalf;
constexpr int kHeads = 24;  // of a block
constexpr int kHeadTiles = kHeads / 8;
constexpr int kThreads = kRingThreads;
constexpr int kWarps = kThreads / 32;
constexpr int kQuarters = 4;
constexpr int kSteps = kWidth / 16 / kQuarters;  // products of 16 columns in a quarter
constexpr int kValueTiles = kLatent / 16 / kWarps;
constexpr int kClusterMost = 16;
// Padded: rows start in different banks.
constexpr int kScoreStride = kTile + 4;
constexpr int kWeightStride = kTile + 8;
constexpr int kResultStride = kLatent + 4;      // of f32
constexpr int kResultPitch = kLatent * 2 + 16;  // bytes, of bf16

// Between the two products of a tile.
struct Softmaxing {
  float scores[kQuarters][kHeads][kScoreStride];
  __nv_bfloat16 weights[kHeads][kWeightStride];
};

// Of a head: its highest score, and the sum of what its values are to be divided by.
using HeadSum = float2;

// Of the blocks of a cluster.
struct Merge {
  HeadSum said[kClusterMost][kHeads];
  float shares[kClusterMost][kHeads];
};

// What passes between the warps of a block.
struct Exchange {
  union {
    uint4 queries[kHeads * kPitch / 16];  // until they are in registers
    Softmaxing tile;
    Merge merge;  // when there are results
  };
  float shrink[kHeads];
  HeadSum own[kHeads];
};

using Queries = std::uint32_t[kSteps][kHeadTiles][2];
using Values = float[kValueTiles][kHeadTiles][4];

// Right operands of 16 rows, k, and 24 columns, which are rows of `from`.
__device__ inline void load_right(std::uint32_t (&to)[kHeadTiles][2], std::uint32_t from,
                                  int pitch) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::uint32_t both[4];
  load_matrices(both, from + (lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16);
  to[0][0] = both[0];
  to[0][1] = both[1];
  to[1][0] = both[2];
  to[1][1] = both[3];
  load_matrices(to[2], from + (16 + lane % 8) * pitch + lane / 8 % 2 * 16);
}
static_assert(kHeadTiles == 3);

// The queries of the block's heads on their way from memory to shared memory: a warp takes a head,
// and another; zeros for heads that are none.
class QueryRows {
 public:
  __device__ QueryRows(const AttentionHeads& heads, int token, int first_head) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (head(i) >= kHeads) break;
      const bool valid = first_head + head(i) < heads.heads;
      const auto* from = reinterpret_cast<const uint4*>(heads.query(token, first_head + head(i)));
#pragma unroll
      for (int k = 0; k < kChunks; ++k) {
        chunks_[i][k] = valid && column(k) < kWidth / 8 ? from[column(k)] : uint4{};
      }
    }
  }
  __device__ void store(Exchange& shared) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (head(i) >= kHeads) break;
#pragma unroll
      for (int k = 0; k < kChunks; ++k) {
        if (column(k) < kWidth / 8)
          shared.queries[head(i) * (kPitch / 16) + column(k)] = chunks_[i][k];
      }
    }
  }

 private:
  static constexpr int kCount = (kHeads + kWarps - 1) / kWarps;
  static constexpr int kChunks = (kWidth / 8 + 31) / 32;
  __device__ static int head(int i) {
    return static_cast<int>(threadIdx.x) / 32 + i * kWarps;
  }
  __device__ static int column(int k) {
    return static_cast<int>(threadIdx.x) % 32 + k * 32;
  }

  uint4 chunks_[kCount][kChunks];
};

__device__ inline void load_queries(Queries& q, const Exchange& shared, int quarter) {
  const std::uint32_t from = shared_address(shared.queries);
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    load_right(q[step], from + (quarter * kSteps + step) * 32, kPitch);
  }
}

// Shared addresses of the halves of a tile.
struct Tile {
  std::uint32_t half[2];
};

// This warp's part of the scores of a tile.
__device__ inline void score(Exchange& shared, const Tile& tile, const Queries& q, int warp) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int quarter = warp / kQuarters;
  const int first = warp % kQuarters * 16;
  float s[kHeadTiles][4] = {};
  const std::uint32_t from = (first < kHalf ? tile.half[0] : tile.half[1]) +
                             (first % kHalf + lane % 16) * kPitch + quarter * kSteps * 32 +
                             lane / 16 * 16;
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    std::uint32_t keys[4];
    load_matrices(keys, from + step * 32);
#pragma unroll
    for (int n = 0; n < kHeadTiles; ++n) {
      mma_16x8x16(s[n], keys, q[step][n][0], q[step][n][1]);
    }
  }
#pragma unroll
  for (int n = 0; n < kHeadTiles; ++n) {
    float* to = &shared.tile.scores[quarter][n * 8 + lane % 4 * 2][first + lane / 4];
    to[0] = s[n][0];
    to[kScoreStride] = s[n][1];
    to[8] = s[n][2];
    to[kScoreStride + 8] = s[n][3];
  }
}

// Of one head, the same in its sixteen lanes.
struct Softmax {
  float highest = -INFINITY;
  float sum = 0;  // of this lane's positions
};

// Four scores of one head from their quarters; leaves weights and how much earlier sums shrink.
__device__ inline void weigh(Exchange& shared, Softmax& state, float scale_log2, int rows,
                             int head) {
  const int column = static_cast<int>(threadIdx.x) % 16 * 4;
  float s[4] = {};
#pragma unroll
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    const float4 part =
        *reinterpret_cast<const float4*>(&shared.tile.scores[quarter][head][column]);
    s[0] += part.x;
    s[1] += part.y;
    s[2] += part.z;
    s[3] += part.w;
  }
  float highest = state.highest;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    s[i] = column + i < rows ? s[i] * scale_log2 : -INFINITY;
    highest = fmaxf(highest, s[i]);
  }
#pragma unroll
  for (int offset = 1; offset < 16; offset *= 2) {
    highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFU, highest, offset));
  }
  // The first position of a tile is visible: highest is finite.
  const float shrink = exp2_approx(state.highest - highest);
  state.highest = highest;
#pragma unroll
  for (int i = 0; i < 4; ++i) s[i] = exp2_approx(s[i] - highest);
  state.sum = state.sum * shrink + ((s[0] + s[1]) + (s[2] + s[3]));
  *reinterpret_cast<uint2*>(&shared.tile.weights[head][column]) = {bf16_pair(s[0], s[1]),
                                                                   bf16_pair(s[2], s[3])};
  if (column == 0) shared.shrink[head] = shrink;
}

// values += tile * weights, this warp's latents.
__device__ inline void accumulate(Values& values, const Exchange& shared, const Tile& tile,
                                  int warp) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int n = 0; n < kHeadTiles; ++n) {
    const float2 shrink = *reinterpret_cast<const float2*>(&shared.shrink[n * 8 + lane % 4 * 2]);
#pragma unroll
    for (int m = 0; m < kValueTiles; ++m) {
      values[m][n][0] *= shrink.x;
      values[m][n][1] *= shrink.y;
      values[m][n][2] *= shrink.x;
      values[m][n][3] *= shrink.y;
    }
  }
  const std::uint32_t weights_at = shared_address(shared.tile.weights);
  // A tile's rows are positions, the columns of the left operand.
  const auto own = static_cast<std::uint32_t>((lane / 16 * 8 + lane % 8) * kPitch +
                                              (warp * kValueTiles * 16 + lane / 8 % 2 * 8) * 2);
#pragma unroll
  for (int step = 0; step < kTile / 16; ++step) {
    std::uint32_t weights[kHeadTiles][2];
    load_right(weights, weights_at + step * 32, kWeightStride * 2);
#pragma unroll
    for (int m = 0; m < kValueTiles; ++m) {
      std::uint32_t latents[4];
      load_matrices_transposed(
          latents, tile.half[step * 16 / kHalf] + own + step * 16 % kHalf * kPitch + m * 32);
#pragma unroll
      for (int n = 0; n < kHeadTiles; ++n) {
        mma_16x8x16(values[m][n], latents, weights[n][0], weights[n][1]);
      }
    }
  }
}

}  // namespace glm::kernels::device::latent
