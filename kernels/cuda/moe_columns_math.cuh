// Products of moe_columns.cu with slabs in shared memory.
//
// A lane has thirty-two columns of a chunk, a group, and two rows of a slab. The activations that
// token s of two has of group g are in column 4s + g of the tensor-core tile; the tile's other
// columns are zero where weights are of that group. So sums of groups stay apart until they are
// scaled, and codes are multiplied as they are, as numbers that are 136 too large.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {

// Lanes with activations, and of which token.
__device__ inline bool owns_group() {
  return lane_index() / 4 % 4 == lane_index() % 4;
}
__device__ inline int group_token() {
  return lane_index() / 16;
}
// Of which token a lane has sums.
__device__ inline int sum_token() {
  return lane_index() % 4 / 2;
}

// -136 times the sums of groups of these activations, as sums of a tile.
__device__ inline void sum_groups(const uint4 (&x)[4], float (&sums)[4]) {
  constexpr std::uint32_t kMinus136 = 0xC308C308;  // twice
  const std::uint32_t all[4] = {kMinus136, kMinus136, kMinus136, kMinus136};
  float back[4] = {};
#pragma unroll
  for (float& sum : sums) sum = 0;
#pragma unroll
  for (const uint4& eight : x) {
    device::mma_16x8x16(sums, all, eight.x, eight.y);
    device::mma_16x8x16(back, all, eight.z, eight.w);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) sums[i] += back[i];
}

// Where in a stage this lane's part of a chunk is, in the first of its two rows of a slab.
struct GroupsAt {
  unsigned words;
  unsigned scales;

  __device__ GroupsAt(const BulkPlan& plan, int chunk) {
    const auto lane = static_cast<unsigned>(lane_index());
    const unsigned tile_row = lane / 4;
    const auto at = [&](BulkPart part) {
      return plan.at[part] + tile_row % 2 * plan.quad[part] + tile_row / 2 * plan.row[part];
    };
    words = at(kData) + static_cast<unsigned>(chunk) * (kChunk / 2) + lane % 4 * 16;
    scales = at(kScales) + static_cast<unsigned>(chunk) * 8 + lane % 2 * 4;
  }
};

// A chunk of a slab times activations in int4_order(): this lane's part of the sums of its rows and
// of token sum_token(); lane ^ 1 has the other. `offset` is what sum_groups() gives for x.
__device__ inline void multiply_groups(const BulkPlan& plan, const std::uint8_t* stage,
                                       const GroupsAt& at, const uint4 (&x)[4],
                                       const float (&offset)[4], float (&rows)[2]) {
  uint4 words[2];
  std::uint32_t scales[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    words[half] = *reinterpret_cast<const uint4*>(stage + at.words + 2 * half * plan.quad[kData]);
    scales[half] =
        *reinterpret_cast<const std::uint32_t*>(stage + at.scales + 2 * half * plan.quad[kScales]);
  }
  float front_sums[4] = {offset[0], offset[1], offset[2], offset[3]};
  float back_sums[4] = {};
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    std::uint32_t pairs[2][4];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        pairs[half][i] = device::int4_codes(device::word_of(words[half], word), i);
      }
    }
    const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
    const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
    device::mma_16x8x16(front_sums, front, x[word].x, x[word].y);
    device::mma_16x8x16(back_sums, back, x[word].z, x[word].w);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float low = front_sums[2 * half] + back_sums[2 * half];
    const float high = front_sums[2 * half + 1] + back_sums[2 * half + 1];
    rows[half] = low * device::bf16_low(scales[half]) + high * device::bf16_high(scales[half]);
  }
}

// Sixteen rows in bf16, of which this lane has these, times activations of up to eight tokens:
// words of both in the order of plain_word().
__device__ inline int plain_word(int i) {
  return i ^ (lane_index() % 4 / 2);  // so that lanes meet no bank twice
}
__device__ inline void multiply_plain(const std::uint8_t* const (&rows)[2], const uint4 (&x)[4],
                                      float (&sums)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    uint4 w[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      w[half] = reinterpret_cast<const uint4*>(rows[half])[plain_word(i)];
    }
    const std::uint32_t front[4] = {w[0].x, w[1].x, w[0].y, w[1].y};
    const std::uint32_t back[4] = {w[0].z, w[1].z, w[0].w, w[1].w};
    device::mma_16x8x16(sums, front, x[i].x, x[i].y);
    device::mma_16x8x16(sums, back, x[i].z, x[i].w);
  }
}

}  // namespace glm::kernels::cuda
