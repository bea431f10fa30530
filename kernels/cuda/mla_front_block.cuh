// Blocks of mla_front.cu: dimensions, where things lie in shared memory, and what is copied there.
#pragma once

#include <cuda.h>

#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/paged_rows.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/tensor_copy.cuh"
#include "kernels/device/turn.cuh"
#include "kernels/device/weight.h"

namespace glm::kernels::cuda::mla_front {

constexpr int kBlocks = 4;  // of a head, a cluster
constexpr int kQRank = 768;
constexpr int kNope = 192;
constexpr int kTurned = 64;
constexpr int kRank = 512;
constexpr int kValue = 256;
constexpr int kQuery = kNope + kTurned;
constexpr int kHeadRows = kNope + kValue;  // of kv_b
constexpr int kTokensMin = 9;
constexpr int kTokensMax = 64;

constexpr int kOwnQuery = kQuery / kBlocks;   // outputs of q_b that a block has
constexpr int kOwnLatents = kRank / kBlocks;  // columns of W_UK
constexpr int kTurnedBlock = kBlocks - 1;     // whose outputs are turned
constexpr int kHalves = 2;                    // of q_b's columns, a warpgroup each
constexpr int kHalfThreads = 128;
constexpr int kThreads = kHalves * kHalfThreads;
constexpr int kFetchThread = kThreads - device::kWarpThreads;
static_assert(kOwnQuery == kTurned && kOwnQuery == 64);

constexpr int kUnit = 128;  // columns of q_b that are copied together
constexpr int kUnits = kQRank / kUnit;
constexpr int kHalfUnits = kUnits / kHalves;
constexpr int kBox = 64;  // columns of activations that are
constexpr int kUnitBoxes = kUnit / kBox;
constexpr int kBoxes = kQRank / kBox;
constexpr int kScaled = 32;              // columns with a scale
constexpr int kScaledBox = kScaled * 8;  // whose scales, sixteen bytes, are copied together
constexpr int kScaleBoxes = kQRank / kScaledBox;
static_assert(kBoxes % kBlocks == 0 && kScaledBox % kOwnLatents == 0);

constexpr unsigned kUnitBytes = kOwnQuery * kUnit / 2;
constexpr unsigned kUnitRow = kUnit / 2;
constexpr unsigned kScaleRow = 16;
constexpr unsigned kScalesBytes = kScaleBoxes * kOwnQuery * kScaleRow;
constexpr unsigned kUnfoldRow = kOwnLatents / 2;
constexpr unsigned kUnfoldBytes = kNope * kUnfoldRow;
constexpr unsigned kUnfoldScalesBytes = kNope * kScaleRow;
constexpr unsigned kPieceColumns = 64;  // of decoded W_UK, 128 bytes a row
constexpr unsigned kPieceBytes = kNope * kPieceColumns * 2;
constexpr unsigned kDecodedBytes = kOwnLatents / kPieceColumns * kPieceBytes;

// Bytes from token to token, so that the same columns of eight lie in different banks.
constexpr unsigned kTurnedPitch = kTurned * 2 + 16;
constexpr unsigned kResultPitch = kOwnLatents * 2 + 16;

constexpr unsigned kAlignment = 1024;
constexpr unsigned kBarriers = 2 * kUnits + 5;

// Where things lie in shared memory, in bytes, with room for so many tokens. When activations have
// been used, sums of other warps, then results, and what is turned have their place, and of many
// tokens W_UK, decoded; where q_b's weights were comes the query.
template <int kColumns>
struct Places {
  static constexpr bool kDecodesEarly = kColumns < kTokensMax;
  static constexpr unsigned kBoxPitch = kColumns * kBox * 2;
  static constexpr unsigned kRows = 0;
  static constexpr unsigned kRowsBytes = kBoxes * kBoxPitch;
  static constexpr unsigned kDecoded = kDecodesEarly ? kRowsBytes : kRows;
  static constexpr unsigned kSums = kDecodesEarly ? kRows : kDecoded + kDecodedBytes;
  static constexpr unsigned kResults = kSums;
  static constexpr unsigned kToTurn = kResults + kColumns * kResultPitch;
  static constexpr unsigned kWeights = kDecodesEarly ? kDecoded + kDecodedBytes : kRowsBytes;
  static constexpr unsigned kQuery = kWeights;
  static constexpr unsigned kScales = kWeights + kUnits * kUnitBytes;
  static constexpr unsigned kUnfold = kScales + kScalesBytes;
  static constexpr unsigned kUnfoldScales = kUnfold + kUnfoldBytes;
  static constexpr unsigned kTurns = kUnfoldScales + kUnfoldScalesBytes;
  static constexpr unsigned kNorm = kTurns + kColumns * (kTurned / 2) * 8;
  static constexpr unsigned kFactors = kNorm + kQRank * 2;
  static constexpr unsigned kBarriersAt = kFactors + kColumns * 4;
  static constexpr unsigned kTotal = kAlignment + kBarriersAt + kBarriers * 8;

  static_assert(kColumns * kOwnQuery * 4 <= kColumns * kResultPitch &&
                kToTurn + kColumns * kTurnedPitch <= kRowsBytes &&
                kColumns * kNope * 2 <= kUnfold - kQuery && kQuery % kAlignment == 0 &&
                kUnfold % kAlignment == 0 && kBarriersAt % 8 == 0);
};

struct Maps {
  CUtensorMap rows;
  CUtensorMap weights;
  CUtensorMap scales;
  CUtensorMap unfold;
  CUtensorMap unfold_scales;
};

// What the cache keeps of a token.
struct Latents {
  const __nv_bfloat16* row;
  const __nv_bfloat16* norm;
  std::int64_t row_stride;
  device::PagedRows<__nv_bfloat16> pages;
  const std::int32_t* sequences;
};

struct Args {
  Latents latents;
  device::Weight q_b;
  device::Weight kv_b;
  const __nv_bfloat16* norm;  // of queries
  __nv_bfloat16* out;
  std::int64_t out_token;
  std::int64_t out_head;
  device::Turns turns;
  float eps;
  int heads;
  int tokens;
};

template <int kColumns>
struct Block {
  using At = Places<kColumns>;

  const Args& a;
  const Maps& maps;
  std::uint32_t memory;
  int head;
  int rank;

  __device__ std::uint32_t weights_full(int unit) const { return barrier(unit); }
  __device__ std::uint32_t rows_full(int unit) const { return barrier(kUnits + unit); }
  __device__ std::uint32_t small_full() const { return barrier(2 * kUnits); }
  __device__ std::uint32_t unfold_full() const { return barrier(2 * kUnits + 1); }
  __device__ std::uint32_t query_came() const { return barrier(2 * kUnits + 2); }
  __device__ std::uint32_t factors_came() const { return barrier(2 * kUnits + 3); }
  __device__ std::uint32_t turns_came() const { return barrier(2 * kUnits + 4); }
  __device__ unsigned box_bytes() const {
    return static_cast<unsigned>(a.tokens + 7) / 8 * 8 * kBox * 2;
  }
  __device__ bool turns() const { return rank == kTurnedBlock; }

 private:
  __device__ std::uint32_t barrier(int which) const {
    return memory + At::kBarriersAt + static_cast<unsigned>(which) * 8;
  }
};

__device__ inline int lane_of() {
  return static_cast<int>(threadIdx.x) % device::kWarpThreads;
}
__device__ inline int warp_of() {
  return static_cast<int>(threadIdx.x) / device::kWarpThreads;
}
__device__ inline int half_of() {
  return static_cast<int>(threadIdx.x) / kHalfThreads;
}

// By a thread of each warp, since a warp sets up one barrier after the other. What comes from other
// blocks is announced as well.
template <int kColumns>
__device__ void set_up(const Block<kColumns>& block) {
  static_assert(kThreads / device::kWarpThreads >= kUnits + 2);
  const int warp = warp_of();
  const int tokens = block.a.tokens;
  if (warp < kUnits) {
    device::barrier_set_up(block.weights_full(warp), 1);
    device::barrier_set_up(block.rows_full(warp), 1);
  } else if (warp == kUnits) {
    device::barrier_set_up(block.small_full(), 1);
    device::barrier_set_up(block.unfold_full(), 1);
    device::barrier_set_up(block.query_came(), 1);
  } else if (warp == kUnits + 1) {
    device::barrier_set_up(block.factors_came(), 1);
    device::barrier_set_up(block.turns_came(), 1);
  }
  device::barriers_are_set_up();
  if (warp < kUnits) {
    device::barrier_arrive_expecting(block.rows_full(warp), kUnitBoxes * block.box_bytes());
  } else if (warp == kUnits) {
    const int others = block.turns() ? kNope : kNope - kOwnQuery;
    device::barrier_arrive_expecting(block.query_came(),
                                     static_cast<unsigned>(tokens * others) * 2);
  } else if (warp == kUnits + 1) {
    device::barrier_arrive_expecting(block.factors_came(), static_cast<unsigned>(tokens) * 4);
    device::barrier_arrive_expecting(
        block.turns_came(), block.turns() ? static_cast<unsigned>(tokens * kTurned) * 4 : 0);
  }
}

// Units in the order in which the two halves of the columns take them.
__device__ inline int unit_of_turn(int turn) {
  return turn % kHalves * kHalfUnits + turn / kHalves;
}

// By a warp.
template <int kColumns>
__device__ void fetch_weights(const Block<kColumns>& block) {
  using At = Places<kColumns>;
  const Maps& maps = block.maps;
  const int row = block.head * kQuery + block.rank * kOwnQuery;
  const std::uint64_t policy = device::read_once_policy();
  const int lane = lane_of();
  if (lane == 0) {
    device::prefetch_map(maps.rows);
    device::barrier_arrive_expecting(block.small_full(), kScalesBytes + kQRank * 2);
    device::barrier_arrive_expecting(block.unfold_full(), kUnfoldBytes + kUnfoldScalesBytes);
  }
  __syncwarp();  // bytes are announced
  if (lane < kUnits) {
    const int unit = unit_of_turn(lane);
    device::barrier_arrive_expecting(block.weights_full(unit), kUnitBytes);
    device::copy_box(block.memory + At::kWeights + static_cast<unsigned>(unit) * kUnitBytes,
                     maps.weights, {unit * static_cast<int>(kUnitRow), row, 0},
                     block.weights_full(unit), policy);
  } else if (lane < kUnits + kScaleBoxes) {
    const int box = lane - kUnits;
    device::copy_box(
        block.memory + At::kScales + static_cast<unsigned>(box) * kOwnQuery * kScaleRow,
        maps.scales, {box * static_cast<int>(kScaleRow), row, 0}, block.small_full(), policy);
  } else if (lane == kUnits + kScaleBoxes) {
    device::bulk_copy(block.memory + At::kNorm, block.a.norm, kQRank * 2, block.small_full());
  } else if (lane == kUnits + kScaleBoxes + 1) {
    device::copy_box(block.memory + At::kUnfold, maps.unfold,
                     {block.rank * static_cast<int>(kUnfoldRow), block.head * kHeadRows, 0},
                     block.unfold_full(), policy);
    device::copy_box(block.memory + At::kUnfoldScales, maps.unfold_scales,
                     {block.rank * kOwnLatents / kScaledBox * static_cast<int>(kScaleRow),
                      block.head * kHeadRows, 0},
                     block.unfold_full(), policy);
  }
  __syncwarp();
}

// By a warp: a part of the activations, to all blocks.
template <int kColumns>
__device__ void fetch_rows(const Block<kColumns>& block) {
  using At = Places<kColumns>;
  const int i = lane_of();
  if (i < kBoxes / kBlocks) {
    const int box = i * kBlocks + block.rank;
    device::copy_box_to_blocks(
        block.memory + At::kRows + static_cast<unsigned>(box) * At::kBoxPitch, block.maps.rows,
        {box * kBox, 0, 0}, block.rows_full(box / kUnitBoxes), (1U << kBlocks) - 1);
  }
}

}  // namespace glm::kernels::cuda::mla_front
