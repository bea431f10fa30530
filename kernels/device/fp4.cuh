// e2m1 with a scale per block, dequantized in registers: weights as bf16 numbers, exactly. The one
// scale of a whole nvfp4 weight is left out: whoever multiplies applies it to the sums.
#pragma once

#include <cuda_bf16.h>

#include "kernels/device/weight.cuh"

namespace glm::kernels::device {

__device__ inline __nv_bfloat16 fp4_scale(ScaleType type, std::uint32_t bits) {
  const auto byte = static_cast<std::uint8_t>(bits);
  return __float2bfloat16_rn(type == ScaleType::e8m0 ? e8m0(byte) : e4m3(byte));
}

// Of thirty-two columns of a row, as they lie in memory: two numbers in e4m3, or one in e8m0, which
// is then given twice.
__device__ inline __nv_bfloat162 fp4_row_scales(ScaleType type, std::uint32_t bits) {
  if (type == ScaleType::e8m0) return __bfloat162bfloat162(fp4_scale(type, bits));
  const auto halves =
      __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(bits), __NV_E4M3);
  const float2 values = __half22float2(__half2(halves));
  return __floats2bfloat162_rn(values.x, values.y);
}

// Columns i and i + 4 of the eight in a word, for i = 0 .. 3.
__device__ inline std::uint32_t fp4_pair(std::uint32_t word, int i, __nv_bfloat16 scale) {
  const std::uint32_t codes = (word >> (4 * i)) & 0x000F000FU;
  const std::uint32_t signs = codes & 0x00080008U;
  // The code's exponent and mantissa where bf16 has the lowest of its own; its sign, which came to
  // bit 9, to bit 15.
  const std::uint32_t fields = codes * 64U + signs * (64U * 63U);
  const __nv_bfloat162 small = *reinterpret_cast<const __nv_bfloat162*>(&fields);  // times 2^-126
  const __nv_bfloat162 code = __hmul2(small, __float2bfloat162_rn(0x1p126F));
  const __nv_bfloat162 value = __hmul2(code, __bfloat162bfloat162(scale));
  return *reinterpret_cast<const std::uint32_t*>(&value);
}

// All eight in their order.
__device__ inline uint4 fp4_word(std::uint32_t word, __nv_bfloat16 scale) {
  const std::uint32_t p0 = fp4_pair(word, 0, scale);
  const std::uint32_t p1 = fp4_pair(word, 1, scale);
  const std::uint32_t p2 = fp4_pair(word, 2, scale);
  const std::uint32_t p3 = fp4_pair(word, 3, scale);
  return {__byte_perm(p0, p1, 0x5410), __byte_perm(p2, p3, 0x5410), __byte_perm(p0, p1, 0x7632),
          __byte_perm(p2, p3, 0x7632)};
}

// What sums of such weights are to be multiplied with.
__device__ inline float fp4_unit(const Weight& w) {
  if (w.global_scale == Global::none) return 1.0F;
  return w.global_scale == Global::multiplies ? *w.global : 1.0F / *w.global;
}

}  // namespace glm::kernels::device
