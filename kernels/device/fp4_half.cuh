// nvfp4 in fp16, where a weight and its scale are one number exactly, a power of two that is left
// out included: of the decodings this one has the fewest instructions. A code is an fp16 number
// 2^14 times too small wherever its sign comes to bit 15 and the rest to bits 9 to 11. Sums are to
// be multiplied with fp4_half_unit(). Most products with scales are below fp16's normal numbers,
// which tensor cores take exactly.
//
// Activations are to be fp16 as well, in int4_order(): each row times a power of two that brings it
// near the top of the range.
#pragma once

#include <cuda_fp16.h>

#include "kernels/device/fp4.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::device {

__device__ inline Fp4Unit fp4_half_unit(const Weight& w) {
  constexpr float kLeftOut = 0x1p14F;  // of e2m1 as fp16
  constexpr float kLeftOutInBf16 = 0x1p7F;
  return Fp4Unit(w, kLeftOut / kLeftOutInBf16);
}

// The lower or the upper two of four numbers in e4m3.
template <int kUpper>
__device__ inline __half2 e4m3_halves(std::uint32_t four) {
  std::uint32_t two = 0;
  if constexpr (kUpper == 0) {
    asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\ncvt.rn.f16x2.e4m3x2 %0, low;\n}\n"
        : "=r"(two)
        : "r"(four));
  } else {
    asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\ncvt.rn.f16x2.e4m3x2 %0, high;\n}\n"
        : "=r"(two)
        : "r"(four));
  }
  return *reinterpret_cast<const __half2*>(&two);
}

// Columns 0 and 4 of the eight in a word, 1 and 5, 2 and 6, 3 and 7. What counts are logical
// operations, right shifts and conversions, which share a pipe of half the rate: left shifts are
// products, and of even columns one mask takes sign and rest.
__device__ inline void fp4_half_pairs(std::uint32_t word, __half2 scale,
                                      std::uint32_t (&pairs)[4]) {
  constexpr std::uint32_t kSign = 0x80008000U;
  constexpr std::uint32_t kRest = 0x0E000E00U;
  const std::uint32_t codes[4] = {
      word << 8U & (kSign | kRest), (word << 15U & kSign) | (word << 5U & kRest),
      word & (kSign | kRest), (word << 7U & kSign) | (word >> 3U & kRest)};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __half2 value = __hmul2(*reinterpret_cast<const __half2*>(&codes[i]), scale);
    pairs[i] = *reinterpret_cast<const std::uint32_t*>(&value);
  }
}

// Eight bf16 numbers of a row times a power of two, in int4_order(), in which they may be already.
template <bool kFromInt4Order = false>
__device__ uint4 half_octet(const uint4& x, float factor) {
  const auto pair = [&](int first, int second) {
    const auto number = [&](int i) {
      return octet_at(x, kFromInt4Order ? i % 4 * 2 + i / 4 : i) * factor;
    };
    const __half2 two = __floats2half2_rn(number(first), number(second));
    return *reinterpret_cast<const std::uint32_t*>(&two);
  };
  return {pair(0, 4), pair(1, 5), pair(2, 6), pair(3, 7)};
}

// The largest magnitudes of eight bf16 numbers and some before, two columns each, NaN above all;
// and the larger one's bits, which are in the order of magnitudes.
__device__ inline __nv_bfloat162 largest(const uint4& octet, const __nv_bfloat162& before) {
  const auto pair = [](std::uint32_t word) {
    return __habs2(*reinterpret_cast<const __nv_bfloat162*>(&word));
  };
  return __hmax2_nan(__hmax2_nan(before, __hmax2_nan(pair(octet.x), pair(octet.y))),
                     __hmax2_nan(pair(octet.z), pair(octet.w)));
}
__device__ inline std::uint32_t largest_bits(const __nv_bfloat162& two) {
  const std::uint32_t bits = *reinterpret_cast<const std::uint32_t*>(&two);
  return max(bits & 0xFFFFU, bits >> 16U);
}
__device__ inline std::uint32_t largest_bits(const uint4& octet) {
  return largest_bits(largest(octet, __float2bfloat162_rn(0)));
}

// The power of two that brings numbers of less than 2^(exponent + 1) to the top of fp16's range.
class HalfScale {
 public:
  __device__ static HalfScale below(int exponent) { return HalfScale(exponent); }
  // Numbers of which these are largest_bits().
  __device__ static HalfScale of(std::uint32_t bits) {
    return HalfScale(static_cast<int>(bits >> 7U) - kBias);
  }
  __device__ float factor() const { return power(kTop - exponent_); }
  // What sums are to be multiplied with.
  __device__ float unit() const { return power(exponent_ - kTop); }

 private:
  static constexpr int kTop = 15;
  static constexpr int kBias = 127;
  __device__ explicit HalfScale(int exponent)
      : exponent_(min(max(exponent, kTop + 1 - kBias), kBias + kTop - 1)) {}
  __device__ static float power(int x) {
    return __uint_as_float(static_cast<unsigned>(x + kBias) << 23U);
  }
  int exponent_;
};

// As mma_16x8x16().
__device__ inline void mma_16x8x16_half(float (&d)[4], const std::uint32_t (&a)[4],
                                        std::uint32_t b0, std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace glm::kernels::device
