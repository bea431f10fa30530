// Products of moe_columns.cu with slabs in shared memory, of which a lane has thirty-two columns of
// a chunk and two rows. A codec says how they are multiplied:
//
//   Activations  of a chunk, as a lane holds them
//   kParted      lane ^ 1 has the other part of its sums
//   kShared      the shared expert is coded as well
//   kHalf        activations are fp16
//   unit(w)      what sums are to be multiplied with
//
// ColumnsInt4: the thirty-two columns are a group. The activations of group g are in column g of
// the tensor-core tile; the tile's other columns are zero where weights are of that group. So sums
// of groups stay apart until they are scaled, and codes are multiplied as they are, as numbers that
// are 136 too large.
//
// ColumnsFp4: scales, of sixteen columns each, are multiplied into the weights, in
// fp16 (device/fp4_half.cuh), and all columns of the tile are the token. Activations have a power
// of two for every two chunks.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/device/fp4_half.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {

// Lanes with activations of a group.
__device__ inline bool owns_group() {
  return lane_index() / 4 == lane_index() % 4;
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

  // Scales of so many lanes lie together.
  __device__ GroupsAt(const BulkPlan& plan, int chunk, unsigned lanes) {
    const auto lane = static_cast<unsigned>(lane_index());
    const unsigned tile_row = lane / 4;
    const auto at = [&](BulkPart part) {
      return plan.at[part] + tile_row % 2 * plan.quad[part] + tile_row / 2 * plan.row[part];
    };
    words = at(kData) + static_cast<unsigned>(chunk) * (kChunk / 2) + lane % 4 * 16;
    scales = at(kScales) + static_cast<unsigned>(chunk) * 8 + lane % (4 / lanes) * (2 * lanes);
  }
  // Found once, and not for each slab again.
  __device__ void hold() { asm volatile("" : "+r"(words), "+r"(scales)); }
};

// The words of a lane's two rows.
__device__ inline void read_words(const BulkPlan& plan, const std::uint8_t* stage,
                                  const GroupsAt& at, uint4 (&words)[2]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    words[half] = *reinterpret_cast<const uint4*>(stage + at.words + 2 * half * plan.quad[kData]);
  }
}

// Eight columns of a lane's rows, in two chains of sums.
__device__ inline void multiply_word(const std::uint32_t (&pairs)[2][4], const uint4& x,
                                     float (&front_sums)[4], float (&back_sums)[4]) {
  const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
  const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
  device::mma_16x8x16(front_sums, front, x.x, x.y);
  device::mma_16x8x16(back_sums, back, x.z, x.w);
}

struct ColumnsInt4 {
  static constexpr bool kParted = true;
  static constexpr bool kShared = false;
  static constexpr bool kHalf = false;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
  __device__ static GroupsAt groups_at(const BulkPlan& plan, int chunk) { return {plan, chunk, 2}; }

  // In int4_order().
  struct Activations {
    uint4 x[4];
    float offset[4];

    // Of this lane's columns from there on, if it is there.
    __device__ void load(const uint4* from, bool is_there) {
      const bool owns = owns_group() && is_there;
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = owns ? from[i] : uint4{};
      sum_groups(x, offset);
    }
  };

  // A chunk of a slab times activations: the first two lanes of a row have its sum in two parts.
  __device__ static void multiply(const BulkPlan& plan, const std::uint8_t* stage,
                                  const GroupsAt& at, const Activations& a, float (&rows)[2]) {
    uint4 words[2];
    std::uint32_t scales[2];
    read_words(plan, stage, at, words);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      scales[half] = *reinterpret_cast<const std::uint32_t*>(stage + at.scales +
                                                             2 * half * plan.quad[kScales]);
    }
    float front_sums[4] = {a.offset[0], a.offset[1], a.offset[2], a.offset[3]};
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
      multiply_word(pairs, a.x[word], front_sums, back_sums);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float low = front_sums[2 * half] + back_sums[2 * half];
      const float high = front_sums[2 * half + 1] + back_sums[2 * half + 1];
      rows[half] = low * device::bf16_low(scales[half]) + high * device::bf16_high(scales[half]);
    }
  }
};

struct ColumnsFp4 {
  static constexpr bool kParted = false;
  static constexpr bool kShared = true;
  static constexpr bool kHalf = true;
  __device__ static device::Fp4Unit unit(const device::Weight& w) {
    return device::fp4_half_unit(w);
  }
  __device__ static GroupsAt groups_at(const BulkPlan& plan, int chunk) { return {plan, chunk, 1}; }

  struct Activations {
    uint4 x[4];

    __device__ void load(const uint4* from, bool is_there) {
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = is_there ? from[i] : uint4{};
    }
  };

  // All four lanes of a row have its sum.
  __device__ static void multiply(const BulkPlan& plan, const std::uint8_t* stage,
                                  const GroupsAt& at, const Activations& a, float (&rows)[2]) {
    uint4 words[2];
    __half2 scales[2];
    read_words(plan, stage, at, words);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      scales[half] = device::e4m3_halves<0>(*reinterpret_cast<const std::uint16_t*>(
          stage + at.scales + 2 * half * plan.quad[kScales]));
    }
    float front_sums[4] = {};
    float back_sums[4] = {};
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        device::fp4_half_pairs(device::word_of(words[half], word),
                               word < 2 ? __low2half2(scales[half]) : __high2half2(scales[half]),
                               pairs[half]);
      }
      const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
      const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
      device::mma_16x8x16_half(front_sums, front, a.x[word].x, a.x[word].y);
      device::mma_16x8x16_half(back_sums, back, a.x[word].z, a.x[word].w);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) rows[half] = front_sums[2 * half] + back_sums[2 * half];
  }
};

// Two chunks, an octet a lane, as ColumnsFp4 takes them; what sums of them are to be multiplied
// with comes to `unit`. By a whole warp.
template <bool kFromInt4Order>
__device__ uint4 half_chunks(const uint4& x, float* unit) {
  const auto scale = device::HalfScale::of(__reduce_max_sync(kFullWarp, device::largest_bits(x)));
  if (lane_index() == 0) *unit = scale.unit();
  return device::half_octet<kFromInt4Order>(x, scale.factor());
}

// Sixteen rows in bf16, of which this lane has these, times activations: words of both in the order
// of plain_word().
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
