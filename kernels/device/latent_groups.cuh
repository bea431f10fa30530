// The products of absorbed latent attention by warpgroups (sm_90a only): scores of a tile of 64
// positions, their softmax, and the values they weigh.
//
// Positions, and latents, are the rows of the products, up to 24 heads their columns; both sides
// lie in shared memory. Of the cached rows there is one copy: as keys they are read along their
// columns, as values across. The first warpgroup has all scores, 16 positions a warp; of the values
// each has an equal part of the latents.
//
// Numbers lie in boxes of 64 columns, 128 bytes of each row, in the order of right_side
// (wgmma.cuh).
#pragma once

#include "kernels/device/mma.cuh"
#include "kernels/device/sync_threads.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::device::latent_groups {

constexpr int kLatent = 512;
constexpr int kWidth = 576;
constexpr int kTile = 64;
constexpr int kHeads = 24;
constexpr int kHeadTiles = kHeads / 8;
constexpr int kGroupWarps = 4;
constexpr int kBoxColumns = 64;
constexpr int kBoxes = kWidth / kBoxColumns;
constexpr int kLatentBoxes = kLatent / kBoxColumns;
constexpr int kTileBox = kTile * 128;    // bytes
constexpr int kHeadsBox = kHeads * 128;  // likewise
constexpr int kTileBytes = kBoxes * kTileBox;
constexpr int kQueryBytes = kBoxes * kHeadsBox;
constexpr int kWeightBytes = kHeadsBox;
constexpr int kResultPitch = kLatent * 2 + 16;  // bytes from head to head

// What passes between warps.
struct Weighing {
  float highest[kGroupWarps][kHeads];
  float sums[kGroupWarps][kHeads];
  float shrink[kHeads];
  float most[kHeads];
};

// Bytes to sixteen bytes of a row, of boxes of so many bytes.
__device__ inline std::uint32_t piece_at(int box_bytes, int row, int piece) {
  return static_cast<std::uint32_t>(piece / 8 * box_bytes + row * 128 +
                                    ((piece % 8) ^ (row % 8)) * 16);
}

using Sums = float[kHeadTiles * 4];  // of 64 rows, as lanes hold them

// d[64, 24] += a[64, 16] * b[24, 16]^T. kAcross: the left side lies as a[16, 64]; sixteen of its
// rows on is + 128.
template <bool kAcross>
__device__ __forceinline__ void multiply_24(Sums& d, std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n24k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11}, %12, %13, add, 1, 1, %14, 0;\n}\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
      : "l"(a), "l"(b), "n"(kAcross ? 1 : 0));
}

// Two 8x8 matrices, turned: lanes 0 to 15 pass addresses of columns.
__device__ inline void store_two_turned(std::uint32_t column, std::uint32_t first,
                                        std::uint32_t second) {
  asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1, %2};\n" ::"r"(column),
               "r"(first), "r"(second)
               : "memory");
}

// Of six heads, 8j + 2 (lane % 4) + e, what a thread of the first warpgroup keeps.
struct Softmax {
  float highest[kHeadTiles][2] = {
      {-INFINITY, -INFINITY}, {-INFINITY, -INFINITY}, {-INFINITY, -INFINITY}};
  float sum[kHeadTiles][2] = {};  // of its positions
};

// The scores of a tile, by the first warpgroup.
__device__ inline void score(Sums& s, std::uint32_t tile, std::uint32_t queries) {
  warpgroup_begin();
#pragma unroll
  for (int box = 0; box < kBoxes; ++box) {
    const std::uint64_t keys = right_side(tile) + static_cast<unsigned>(box * kTileBox / 16);
    const std::uint64_t asked = right_side(queries) + static_cast<unsigned>(box * kHeadsBox / 16);
#pragma unroll
    for (unsigned k = 0; k < 4; ++k) multiply_24<false>(s, keys + 2 * k, asked + 2 * k);
  }
  warpgroup_commit();
  warpgroup_wait<0>();
  hold(s);
}

// Weights of the first `rows` positions of a tile, from their scores, and how much earlier sums
// shrink. By the first warpgroup, which has `barrier` to itself.
__device__ inline void weigh(Weighing& shared, Softmax& state, Sums& s, std::uint32_t weights,
                             float scale_log2, int rows, int barrier) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp * 16 + lane / 4;
#pragma unroll
  for (int j = 0; j < kHeadTiles; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float& first = s[4 * j + e];
      float& second = s[4 * j + 2 + e];
      first = row < rows ? first * scale_log2 : -INFINITY;
      second = row + 8 < rows ? second * scale_log2 : -INFINITY;
      float most = fmaxf(first, second);
#pragma unroll
      for (int offset = 4; offset < 32; offset *= 2) {
        most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFU, most, offset));
      }
      if (lane < 4) shared.highest[warp][8 * j + 2 * lane + e] = most;
    }
  }
  sync_threads(barrier, kGroupWarps * 32);  // the highest scores of all warps
#pragma unroll
  for (int j = 0; j < kHeadTiles; ++j) {
    const int head = 8 * j + lane % 4 * 2;
    float2 most = {state.highest[j][0], state.highest[j][1]};
#pragma unroll
    for (int w = 0; w < kGroupWarps; ++w) {
      const float2 others = *reinterpret_cast<const float2*>(&shared.highest[w][head]);
      most.x = fmaxf(most.x, others.x);
      most.y = fmaxf(most.y, others.y);
    }
    // The first position of a tile is visible: highest is finite.
    const float2 shrink = {exp2_approx(state.highest[j][0] - most.x),
                           exp2_approx(state.highest[j][1] - most.y)};
    if (warp == 0 && lane < 4) *reinterpret_cast<float2*>(&shared.shrink[head]) = shrink;
    state.highest[j][0] = most.x;
    state.highest[j][1] = most.y;
    float* p = s + 4 * j;
    p[0] = exp2_approx(p[0] - most.x);
    p[1] = exp2_approx(p[1] - most.y);
    p[2] = exp2_approx(p[2] - most.x);
    p[3] = exp2_approx(p[3] - most.y);
    state.sum[j][0] = state.sum[j][0] * shrink.x + (p[0] + p[2]);
    state.sum[j][1] = state.sum[j][1] * shrink.y + (p[1] + p[3]);
    store_two_turned(weights + piece_at(kHeadsBox, 8 * j + lane % 8, 2 * warp + lane / 8 % 2),
                     bf16_pair(p[0], p[1]), bf16_pair(p[2], p[3]));
  }
  shared_is_written();
}

// Adds the tile's values, weighed: this warpgroup's boxes of latents.
template <int kOwn>
__device__ void accumulate(Sums (&values)[kOwn], const Weighing& shared, std::uint32_t tile,
                           std::uint32_t weights) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int group =
      __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x) / 32 / kGroupWarps, 0);  // of the warp
#pragma unroll
  for (int j = 0; j < kHeadTiles; ++j) {
    const float2 shrink = *reinterpret_cast<const float2*>(&shared.shrink[8 * j + lane % 4 * 2]);
#pragma unroll
    for (Sums& box : values) {
      box[4 * j] *= shrink.x;
      box[4 * j + 1] *= shrink.y;
      box[4 * j + 2] *= shrink.x;
      box[4 * j + 3] *= shrink.y;
    }
  }
  warpgroup_begin();
#pragma unroll
  for (int box = 0; box < kOwn; ++box) {
    const std::uint64_t latents =
        right_side(tile) + static_cast<unsigned>((group * kOwn + box) * (kTileBox / 16));
#pragma unroll
    for (unsigned k = 0; k < kTile / 16; ++k) {
      multiply_24<true>(values[box], latents + 128 * k, right_side(weights) + 2 * k);
    }
  }
  warpgroup_commit();
  warpgroup_wait<0>();
#pragma unroll
  for (Sums& box : values) hold(box);
}

// The sums of this thread's six heads over all positions, in every lane of a warp.
__device__ inline void add_lanes(Softmax& state) {
#pragma unroll
  for (float(&two)[2] : state.sum) {
#pragma unroll
    for (float& sum : two) {
#pragma unroll
      for (int offset = 4; offset < 32; offset *= 2) {
        sum += __shfl_xor_sync(0xFFFFFFFFU, sum, offset);
      }
    }
  }
}

// By the first warpgroup, after its last tile: all sums and highest scores to shared memory.
__device__ inline void leave_sums(Weighing& shared, Softmax& state) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  add_lanes(state);
  if (lane >= 4) return;
#pragma unroll
  for (int j = 0; j < kHeadTiles; ++j) {
    const int head = 8 * j + 2 * lane;
    *reinterpret_cast<float2*>(&shared.sums[warp][head]) = {state.sum[j][0], state.sum[j][1]};
    if (warp == 0) {
      *reinterpret_cast<float2*>(&shared.most[head]) = {state.highest[j][0], state.highest[j][1]};
    }
  }
}
__device__ inline float sum_of(const Weighing& shared, int head) {
  return (shared.sums[0][head] + shared.sums[1][head]) +
         (shared.sums[2][head] + shared.sums[3][head]);
}

// Leaves values as bf16 rows of kResultPitch bytes, where nobody reads any more.
template <int kOwn>
__device__ void leave_values(const Sums (&values)[kOwn], std::uint32_t results) {
  static_assert(kOwn % 2 == 0);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int octet =
      (warp / kGroupWarps * kOwn + lane / 16) * 8 + warp % kGroupWarps * 2 + lane / 8 % 2;
  const std::uint32_t to =
      results + static_cast<std::uint32_t>(lane % 8 * kResultPitch + octet * 16);
#pragma unroll
  for (int j = 0; j < kHeadTiles; ++j) {
#pragma unroll
    for (int box = 0; box < kOwn; box += 2) {
      const float* v = values[box] + 4 * j;
      const float* w = values[box + 1] + 4 * j;
      const std::uint32_t octets[4] = {bf16_pair(v[0], v[1]), bf16_pair(v[2], v[3]),
                                       bf16_pair(w[0], w[1]), bf16_pair(w[2], w[3])};
      store_matrices_transposed(
          to + static_cast<std::uint32_t>(8 * j * kResultPitch + box * 8 * 16), octets);
    }
  }
}

}  // namespace glm::kernels::device::latent_groups
