// The arithmetic on slabs in shared memory (bulk_plan.h), by teams of four warps that share out the
// columns of a slab and add their sums in a fixed order (sm_90 and later).
#pragma once

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

__device__ inline void sync_threads(int barrier, int count) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(barrier), "r"(count) : "memory");
}

// Which of eight rows of weights lies in a row of the tile's half.
__device__ inline int weight_row(int tile_row) {
  return tile_row % 2 * kQuadRows + tile_row / 2;
}

// sums[tile] += slab * activations, over the columns of one chunk. A lane has thirty-two columns of
// it, four words of eight: x(tile, word) are its activations, in int4_order().
template <class Codec, int kTiles, class Activations>
__device__ void multiply_chunk(const device::Weight& weight, const BulkPlan& plan,
                               const std::uint8_t* stage, int chunk, const Activations& x,
                               float (&sums)[kTiles][4]) {
  const int lane = lane_index();
  const unsigned tile_row = static_cast<unsigned>(lane) / 4;
  const auto lane_at = [&](BulkPart part, unsigned half) {
    return plan.at[part] + (2 * half + tile_row % 2) * plan.quad[part] +
           tile_row / 2 * plan.row[part];
  };
  uint4 words[2];
  typename Codec::Group groups[2];
  const unsigned column = static_cast<unsigned>(chunk) * kChunk + lane % 4 * 32U;
#pragma unroll
  for (unsigned half = 0; half < 2; ++half) {
    words[half] = *reinterpret_cast<const uint4*>(stage + lane_at(kData, half) + column / 2);
    const StagedRow row{stage + lane_at(kScales, half), stage + lane_at(kZeros, half)};
    groups[half] = Codec::group(weight, row, column);
  }
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    std::uint32_t pairs[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t bits = word == 0   ? words[half].x
                                 : word == 1 ? words[half].y
                                 : word == 2 ? words[half].z
                                             : words[half].w;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        pairs[half][i] = Codec::pair(bits, word, i, groups[half]);
      }
    }
    const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
    const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint4 four = x(tile, word);
      device::mma_16x8x16(sums[tile], front, four.x, four.y);
      device::mma_16x8x16(sums[tile], back, four.z, four.w);
    }
  }
}

// The same over the columns of this warp of the team, with activations in shared memory as
// octet_place() puts them.
template <class Codec, int kTiles>
__device__ void multiply(const Product& a, const BulkPlan& plan, const std::uint8_t* stage,
                         const uint4* activations, int warp, float (&sums)[kTiles][4]) {
  const int lane = lane_index();
  const int chunks = static_cast<int>(a.inputs) / kChunk;
  const uint4* x_even = activations + lane;
  const uint4* x_odd = activations + (lane ^ 4);
  for (int chunk = warp; chunk < chunks; chunk += kTeamWarps) {
    const auto x = [&](int tile, int word) {
      return (word % 2 == 0 ? x_even
                            : x_odd)[((tile * chunks + chunk) * 4 + word) * device::kWarpThreads];
    };
    multiply_chunk<Codec, kTiles>(a.weight.first, plan, stage, chunk, x, sums);
  }
}

// What a team keeps from slab to slab.
struct Team {
  int index;
  int warp;  // of the team
  float4* partial;
  int turn = 0;  // which buffer, and which warp adds

  // The sum over the warps, in their order; in one warp, which is told by `true`.
  __device__ bool add(const float (&own)[4], float (&total)[4]) {
    float4* buffer = partial + turn % kBuffers * kBufferSums + lane_index();
    const int adding = turn % kTeamWarps;
    ++turn;
    // Whoever writes here next has met the adding warp at the barrier after this one.
    if (warp != adding) {
      buffer[(warp - (warp > adding ? 1 : 0)) * device::kWarpThreads] = {own[0], own[1], own[2],
                                                                         own[3]};
    }
    sync_threads(1 + index, kTeamWarps * device::kWarpThreads);  // the sums of all warps are there
    if (warp != adding) return false;
#pragma unroll
    for (int w = 0; w < kTeamWarps; ++w) {
      float4 part = {own[0], own[1], own[2], own[3]};
      if (w != adding) part = buffer[(w - (w > adding ? 1 : 0)) * device::kWarpThreads];
      total[0] = w == 0 ? part.x : total[0] + part.x;
      total[1] = w == 0 ? part.y : total[1] + part.y;
      total[2] = w == 0 ? part.z : total[2] + part.z;
      total[3] = w == 0 ? part.w : total[3] + part.w;
    }
    return true;
  }
};

}  // namespace glm::kernels::cuda
