// How product_wgmma.cu decodes the weights of a stage into the left side of products: sixty-four
// columns of the two rows that a lane holds, in their order. A lane needs columns 2(l%4), + 1 of
// every eight: of four bits, one byte of every word.
#pragma once

#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

// Sixteen columns a step.
using LeftSide = std::uint32_t[4][4];

struct StagedWeights {
  const std::uint8_t* data;    // of the warp's first row
  const std::uint8_t* scales;  // likewise, four bytes a row
  int step;                    // sixty-four columns each
};

// Rows of 32 bytes. Their halves are exchanged in every other four rows, so that eight rows lie in
// different banks.
__device__ inline unsigned four_bit_at(unsigned row, unsigned half) {
  return row * 32 + ((half ^ (row >> 2U & 1U)) * 16);
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
  static constexpr unsigned kRowBytes = 32;
  static constexpr bool kScales = true;
  __device__ static unsigned piece_at(unsigned row, unsigned piece) {
    return four_bit_at(row, piece);
  }
  // In bytes, a multiple of four.
  __device__ static unsigned scales_from(const device::Weight& w, int step) {
    return (static_cast<unsigned>(step) * 64U >> w.group_shift) / 2 * 4;
  }
  __device__ static unsigned scale_row_bytes(const device::Weight& w) { return w.groups * 2; }
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  __device__ static void decode(const device::Weight& w, const StagedWeights& from, int lane,
                                LeftSide& a) {
    const unsigned own_row = static_cast<unsigned>(lane) / 4;
    const unsigned shift = w.group_shift - 5;
#pragma unroll
    for (unsigned upper = 0; upper < 2; ++upper) {
      const unsigned row = own_row + 8 * upper;
      const std::uint32_t scales = *reinterpret_cast<const std::uint32_t*>(from.scales + 4 * row);
#pragma unroll
      for (unsigned half = 0; half < 2; ++half) {
        const uint4 words = *reinterpret_cast<const uint4*>(from.data + four_bit_at(row, half));
        const unsigned which = (2 * static_cast<unsigned>(from.step) + half) >> shift & 1U;
        const auto bits = static_cast<std::uint16_t>(scales >> (16 * which));
        const device::Int4Group group{.scale = __ushort_as_bfloat16(bits), .zero = 8};
        const std::uint32_t front = own_columns(words.x, words.y, lane);
        const std::uint32_t back = own_columns(words.z, words.w, lane);
        a[2 * half][upper] = device::int4_pair(front, 0, group);
        a[2 * half][2 + upper] = device::int4_pair(front, 2, group);
        a[2 * half + 1][upper] = device::int4_pair(back, 0, group);
        a[2 * half + 1][2 + upper] = device::int4_pair(back, 2, group);
      }
    }
  }
};

struct WgmmaFp4 {
  static constexpr unsigned kRowBytes = 32;
  static constexpr bool kScales = true;
  __device__ static unsigned piece_at(unsigned row, unsigned piece) {
    return four_bit_at(row, piece);
  }
  __device__ static unsigned scales_from(const device::Weight& w, int step) {
    return (static_cast<unsigned>(step) * 64U >> w.group_shift) / 4 * 4;
  }
  __device__ static unsigned scale_row_bytes(const device::Weight& w) { return w.groups; }
  __device__ static float unit(const device::Weight& w) { return device::fp4_unit(w); }

  __device__ static void decode(const device::Weight& w, const StagedWeights& from, int lane,
                                LeftSide& a) {
    const unsigned own_row = static_cast<unsigned>(lane) / 4;
    const bool wide = w.scale_type == device::ScaleType::e8m0;  // two scales, of every other step
#pragma unroll
    for (unsigned upper = 0; upper < 2; ++upper) {
      const unsigned row = own_row + 8 * upper;
      std::uint32_t scales = *reinterpret_cast<const std::uint32_t*>(from.scales + 4 * row);
      if (wide) scales = __byte_perm(scales >> (from.step % 2 * 16), 0, 0x1100);
#pragma unroll
      for (unsigned half = 0; half < 2; ++half) {
        const uint4 words = *reinterpret_cast<const uint4*>(from.data + four_bit_at(row, half));
        const std::uint32_t front = own_columns(words.x, words.y, lane);
        const std::uint32_t back = own_columns(words.z, words.w, lane);
        const __nv_bfloat16 first = device::fp4_scale(w.scale_type, scales >> (16 * half));
        const __nv_bfloat16 second = device::fp4_scale(w.scale_type, scales >> (16 * half + 8));
        a[2 * half][upper] = device::fp4_pair(front, 0, first);
        a[2 * half][2 + upper] = device::fp4_pair(front, 2, first);
        a[2 * half + 1][upper] = device::fp4_pair(back, 0, second);
        a[2 * half + 1][2 + upper] = device::fp4_pair(back, 2, second);
      }
    }
  }
};

// Rows of 128 bytes, their pieces exchanged as those of activations.
struct WgmmaBf16 {
  static constexpr unsigned kRowBytes = 128;
  static constexpr bool kScales = false;
  __device__ static unsigned piece_at(unsigned row, unsigned piece) {
    return row * kRowBytes + (piece ^ row % 8) * 16;
  }
  __device__ static unsigned scales_from(const device::Weight& /*w*/, int /*step*/) { return 0; }
  __device__ static unsigned scale_row_bytes(const device::Weight& /*w*/) { return 0; }
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  __device__ static void decode(const device::Weight& /*w*/, const StagedWeights& from, int lane,
                                LeftSide& a) {
    const std::uint32_t data = device::shared_address(from.data);
    const unsigned row = static_cast<unsigned>(lane) % 16;
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
      device::load_matrices(a[i], data + piece_at(row, 2 * i + static_cast<unsigned>(lane) / 16));
    }
  }
};

}  // namespace glm::kernels::cuda
