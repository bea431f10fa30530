// bf16 numbers as whole numbers of sixteen bits in two planes of eight, for the integer products of
// the tensor cores, whose operands take the fewest instructions to make of four-bit codes.
//
// A row is multiplied with a power of two that brings its largest number to about 2^14 or more, and
// rounded: to steps of at most about 2^-14 of that number, so that what has more than 2^-7 of its
// magnitude stays as it is. In rows whose largest is below 2^-103 steps are of 2^-117.
#pragma once

#include <cstdint>

#include "kernels/device/octet.cuh"

namespace glm::kernels::device {

class PlanesScale {
 public:
  // Of numbers of which these are largest_bits() (fp4_half.cuh).
  __device__ static PlanesScale of(std::uint32_t bits) {
    // One more, since 128 is added to what is rounded: it would not hold 2^15 less 2^7.
    return PlanesScale(static_cast<int>((bits + 1) >> 7U), bits < kInfinity);
  }
  __device__ float factor() const { return power(2 * kBias + kTop - exponent_); }
  // What a one is worth; of numbers that are not finite this is none.
  __device__ float unit() const {
    return finite_ ? power(exponent_ - kTop) : __uint_as_float(0x7FC00000U);
  }

 private:
  static constexpr int kTop = 14;
  static constexpr int kBias = 127;
  static constexpr int kLeast = 24;  // so that factors are finite, and units normal, divided too
  static constexpr std::uint32_t kInfinity = 0x7F80;
  __device__ PlanesScale(int exponent, bool finite)
      : exponent_(max(exponent, kLeast)), finite_(finite) {}
  __device__ static float power(int biased) {
    return __uint_as_float(static_cast<unsigned>(biased) << 23U);
  }
  int exponent_;
  bool finite_;
};

// Of eight columns the upper plane of the even ones and of the odd ones, then the lower plane: 256
// times the upper is added to the lower.
__device__ inline uint4 planes_of(const uint4& octet, float factor) {
  // 2^23 + 2^22: the last bits of a sum are a whole number. With 128, the lower one is not
  // negative.
  constexpr float kWhole = 12582912.0F + 128.0F;
  std::uint32_t whole[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    whole[i] = __float_as_uint(fmaf(octet_at(octet, i), factor, kWhole));
  }
  std::uint32_t upper[2];
  std::uint32_t lower[2];
#pragma unroll
  for (int odd = 0; odd < 2; ++odd) {
    const std::uint32_t front = __byte_perm(whole[odd], whole[odd + 2], 0x5140);
    const std::uint32_t back = __byte_perm(whole[odd + 4], whole[odd + 6], 0x5140);
    lower[odd] = __byte_perm(front, back, 0x5410) ^ 0x80808080U;
    upper[odd] = __byte_perm(front, back, 0x7632);
  }
  return {upper[0], upper[1], lower[0], lower[1]};
}

// Sixteen times code - 8 of every other of eight four-bit codes in a word: of the odd ones, and of
// the even ones of word << 4.
__device__ inline std::uint32_t sixteenfold_codes(std::uint32_t word) {
  std::uint32_t codes = 0;
  // (word & 0xF0F0F0F0) ^ 0x80808080 as one operation; the compiler makes two of it.
  asm("lop3.b32 %0, %1, 0xF0F0F0F0, 0x80808080, 0x6A;" : "=r"(codes) : "r"(word));
  return codes;
}

// d[16, 8] = a[16, 32] * b[32, 8] + c, whole numbers. Lane l holds of d: rows l/4 and l/4 + 8,
// columns 2(l%4), +1; of a in four registers these rows' columns 4(l%4) to +3, then those sixteen
// further; and of b likewise the rows of column l/4.
__device__ inline void mma_16x8x32(int (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                   std::uint32_t b1, int c) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %10, %10, %10};\n"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(c));
}

}  // namespace glm::kernels::device
