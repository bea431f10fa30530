// The arithmetic on slabs in shared memory (bulk_plan.h), by teams of four warps that share out the
// columns of a slab and add their sums in a fixed order (sm_90 and later).
#pragma once

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/sync_threads.cuh"

namespace glm::kernels::cuda {

// silu(gate) * up, to within three units in the last place.
__device__ inline float gated(float gate, float up) {
  return __fdividef(gate, 1.0F + expf(-gate)) * up;
}

// Which of eight rows of weights lies in a row of the tile's half.
__device__ inline int weight_row(int tile_row) {
  return tile_row % 2 * kQuadRows + tile_row / 2;
}

// Where a lane's two rows of a slab are in its stage, at its columns of a chunk: thirty-two of
// them, four words of eight.
template <class Codec>
class LaneRows {
 public:
  __device__ LaneRows(const device::Weight& weight, const BulkPlan& plan, const std::uint8_t* stage,
                      int chunk)
      : scales_step_((kTeamColumns >> weight.group_shift) * Codec::kScaleBytes),
        zeros_step_(kTeamColumns >> weight.group_shift) {
    const auto lane = static_cast<unsigned>(lane_index());
    const unsigned tile_row = lane / 4;
    const unsigned column = static_cast<unsigned>(chunk) * kChunk + lane % 4 * 32;
    const unsigned group = column >> weight.group_shift;
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const auto at = [&](BulkPart part) {
        return stage + plan.at[part] + (2 * half + tile_row % 2) * plan.quad[part] +
               tile_row / 2 * plan.row[part];
      };
      data[half] = at(kData) + column / 2;
      groups[half] = {at(kScales) + group * Codec::kScaleBytes, at(kZeros) + group};
    }
  }
  // To the next chunk of this warp.
  __device__ void advance() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      data[half] += kTeamColumns / 2;
      groups[half].scales += scales_step_;
      groups[half].zeros += zeros_step_;
    }
  }

  const std::uint8_t* data[2];
  StagedGroup groups[2];

 private:
  static constexpr unsigned kTeamColumns = kTeamWarps * kChunk;  // a multiple of a group
  unsigned scales_step_;
  unsigned zeros_step_;
};

// What a lane has of one chunk.
template <class Codec>
struct LaneChunk {
  uint4 words[2];
  typename Codec::Group groups[2];

  __device__ LaneChunk(const device::Weight& weight, const LaneRows<Codec>& rows) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      words[half] = *reinterpret_cast<const uint4*>(rows.data[half]);
      groups[half] = Codec::group(weight, rows.groups[half]);
    }
  }
};

// sums[tile] += slab * activations, over the columns of one chunk: x(tile, word) are this lane's
// activations, in int4_order().
template <class Codec, int kTiles, class Activations>
__device__ void multiply_chunk(const LaneChunk<Codec>& w, const Activations& x,
                               float (&sums)[kTiles][4]) {
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    std::uint32_t pairs[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t bits = word == 0   ? w.words[half].x
                                 : word == 1 ? w.words[half].y
                                 : word == 2 ? w.words[half].z
                                             : w.words[half].w;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        pairs[half][i] = Codec::pair(bits, word, i, w.groups[half]);
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
  constexpr int kWords = 4 * device::kWarpThreads;  // of activations, of a chunk
  const uint4* even = activations + warp * kWords + lane;
  const uint4* odd = activations + warp * kWords + (lane ^ 4);
  LaneRows<Codec> rows(a.weight.first, plan, stage, warp);
#pragma unroll 1
  for (int chunk = warp; chunk < chunks; chunk += kTeamWarps) {
    const auto x = [&](int tile, int word) {
      return (word % 2 == 0 ? even : odd)[tile * chunks * kWords + word * device::kWarpThreads];
    };
    const LaneChunk<Codec> own(a.weight.first, rows);
    multiply_chunk<Codec, kTiles>(own, x, sums);
    rows.advance();
    even += kTeamWarps * kWords;
    odd += kTeamWarps * kWords;
  }
}

// What a team keeps from slab to slab. Its warps take turns in adding the sums of all, and the
// others go on. A warp that comes to its turn waits for all others to have come there: so none is a
// round of turns ahead of another, and as many buffers and barriers as warps are enough.
struct Team {
  int warp;  // of the team
  float4* partial;
  std::uint32_t barriers;  // one for each buffer, of kTeamWarps - 1 arrivals
  unsigned turn = 0;

  // The sum over the warps, in their order; in one warp, which is told by `true`.
  __device__ bool add(const float (&own)[4], float (&total)[4]) {
    const int adding = static_cast<int>(turn % kTeamWarps);
    const unsigned parity = turn / kTeamWarps & 1U;
    const std::uint32_t barrier = barriers + 8 * adding;
    float4* buffer = partial + adding * kBufferSums + lane_index();
    ++turn;
    if (warp != adding) {
      buffer[(warp - (warp > adding ? 1 : 0)) * device::kWarpThreads] = {own[0], own[1], own[2],
                                                                         own[3]};
      __syncwarp();  // the sums of all lanes are there
      if (lane_index() == 0) device::barrier_arrive(barrier);
      return false;
    }
    device::barrier_wait(barrier, parity);
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
