// How product_wgmma.cu decodes the weights of a stage into the left side of products: thirty-two
// columns of the two rows that a lane holds, in their order. A lane needs columns 2(l%4), + 1 of
// every eight: of four bits, one byte of every word.
#pragma once

#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

// Twice sixteen columns.
using LeftSide = std::uint32_t[2][4];

// Thirty-two columns of a lane's two rows, which are the same of eight.
struct StagedWeights {
  std::uint32_t data;        // shared addresses of the first row, in a stage
  std::uint32_t data_apart;  // from there to the other row
  std::uint32_t scales;
  std::uint32_t scales_apart;
  unsigned in_stage;  // which thirty-two columns of the stage
  unsigned in_pair;   // and of the two stages that have scales in common
};

__device__ inline uint4 shared_octets(std::uint32_t address) {
  uint4 words;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(address));
  return words;
}
__device__ inline std::uint32_t shared_word(std::uint32_t address) {
  std::uint32_t word = 0;
  asm volatile("ld.shared.u32 %0, [%1];\n" : "=r"(word) : "r"(address));
  return word;
}

// Rows of 64 bytes, their chunks exchanged by the copy: of the row of this lane.
__device__ inline std::uint32_t four_bit_chunk(const StagedWeights& from, int lane) {
  return (from.in_stage ^ (static_cast<unsigned>(lane) / 8)) * 16;
}

// Of sixteen columns in two words, what lane l of a row holds: the columns of the first word are at
// bits 0 and 16, those of the second at bits 8 and 24.
__device__ inline std::uint32_t own_columns(std::uint32_t first, std::uint32_t second, int lane) {
  const auto quarter = static_cast<std::uint32_t>(lane % 4);
  const std::uint32_t bytes =
      __byte_perm(first, second, quarter * 0x0101U + (quarter + 4) * 0x1010U);
  return __byte_perm(bytes, bytes >> 4U, 0x7610);
}

struct WgmmaInt4 {
  static constexpr bool kScales = true;
  static constexpr int kDepth = 128;
  static constexpr unsigned kRowBytes = 64;     // of kDepth columns
  static constexpr unsigned kElementBytes = 1;  // of the map
  static constexpr unsigned kScaleBytes = 2;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  __device__ static void decode(const device::Weight& w, const StagedWeights& from, int lane,
                                LeftSide& a) {
    const unsigned group_at = from.in_pair >> (w.group_shift - 5);
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const std::uint32_t scales =
          shared_word(from.scales + lower * from.scales_apart + group_at / 2 * 4);
      const uint4 words =
          shared_octets(from.data + lower * from.data_apart + four_bit_chunk(from, lane));
      const auto bits = static_cast<std::uint16_t>(scales >> (16 * (group_at & 1U)));
      const device::Int4Group group{.scale = __ushort_as_bfloat16(bits), .zero = 8};
      const std::uint32_t front = own_columns(words.x, words.y, lane);
      const std::uint32_t back = own_columns(words.z, words.w, lane);
      a[0][lower] = device::int4_pair(front, 0, group);
      a[0][2 + lower] = device::int4_pair(front, 2, group);
      a[1][lower] = device::int4_pair(back, 0, group);
      a[1][2 + lower] = device::int4_pair(back, 2, group);
    }
  }
};

struct WgmmaFp4 {
  static constexpr bool kScales = true;
  static constexpr int kDepth = 128;
  static constexpr unsigned kRowBytes = 64;
  static constexpr unsigned kElementBytes = 1;
  static constexpr unsigned kScaleBytes = 1;
  __device__ static float unit(const device::Weight& w) { return device::fp4_unit(w); }

  __device__ static void decode(const device::Weight& w, const StagedWeights& from, int lane,
                                LeftSide& a) {
    const bool wide = w.scale_type == device::ScaleType::e8m0;  // one scale, not two
    const unsigned first_scale = from.in_pair * (wide ? 1 : 2);
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const std::uint32_t scales =
          shared_word(from.scales + lower * from.scales_apart + first_scale / 4 * 4) >>
          (first_scale % 4 * 8);
      const uint4 words =
          shared_octets(from.data + lower * from.data_apart + four_bit_chunk(from, lane));
      const std::uint32_t front = own_columns(words.x, words.y, lane);
      const std::uint32_t back = own_columns(words.z, words.w, lane);
      const __nv_bfloat16 first = device::fp4_scale(w.scale_type, scales);
      const __nv_bfloat16 second = wide ? first : device::fp4_scale(w.scale_type, scales >> 8U);
      a[0][lower] = device::fp4_pair(front, 0, first);
      a[0][2 + lower] = device::fp4_pair(front, 2, first);
      a[1][lower] = device::fp4_pair(back, 0, second);
      a[1][2 + lower] = device::fp4_pair(back, 2, second);
    }
  }
};

// Rows of 128 bytes, 64 columns.
struct WgmmaBf16 {
  static constexpr bool kScales = false;
  static constexpr int kDepth = 64;
  static constexpr unsigned kRowBytes = 128;
  static constexpr unsigned kElementBytes = 2;
  static constexpr unsigned kScaleBytes = 0;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  __device__ static void decode(const device::Weight& /*w*/, const StagedWeights& from, int lane,
                                LeftSide& a) {
    // A lane addresses row l % 16 here, and columns eight on in the upper half of the warp.
    const unsigned row = static_cast<unsigned>(lane) % 8;
    const std::uint32_t first = from.data - static_cast<unsigned>(lane) / 4 * kRowBytes;
    const std::uint32_t own =
        first + row * kRowBytes + static_cast<unsigned>(lane) / 8 % 2 * from.data_apart;
#pragma unroll
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned chunk = 4 * from.in_stage + 2 * i + static_cast<unsigned>(lane) / 16;
      device::load_matrices(a[i], own + (chunk ^ row) * 16);
    }
  }
};

}  // namespace glm::kernels::cuda
