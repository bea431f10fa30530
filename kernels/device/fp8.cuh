// The e4m3 numbers of weights and cached latents.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

namespace glm::kernels::device {

__device__ inline float e4m3(std::uint8_t bits) {
  if ((bits & 0x7FU) == 0x7FU) return __int_as_float(0x7FC00000);
  // The same bits as an f16 have an exponent too small by eight.
  const std::uint16_t half_bits =
      static_cast<std::uint16_t>((bits & 0x80U) << 8U | (bits & 0x7FU) << 7U);
  return __half2float(__ushort_as_half(half_bits)) * 256.0F;
}

// As f32_to_f8_e4m3 of kernels/dtype.h.
__device__ inline std::uint8_t to_e4m3(float value) {
  return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
}

// Two e4m3 values, the upper bytes of halves, as bf16 numbers times factors of 2^120 and what they
// are to be multiplied with: the same bits as a bf16 have an exponent too small by 120. None of
// them is NaN, unless a factor is.
__device__ inline std::uint32_t e4m3_pair(std::uint32_t high_bytes, __nv_bfloat162 factors) {
  const std::uint32_t bits = (high_bytes & 0x80008000U) | (high_bytes >> 4U & 0x07F007F0U);
  const __nv_bfloat162 product = __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&bits), factors);
  return *reinterpret_cast<const std::uint32_t*>(&product);
}

// Two of four values: those that lane l holds of them as one of the tensor cores' operands.
__device__ inline std::uint32_t own_e4m3_pair(std::uint32_t four, unsigned lane,
                                              __nv_bfloat162 factors) {
  return e4m3_pair(__byte_perm(four, 0, lane % 2 == 0 ? 0x1404 : 0x3424), factors);
}

// Number i of four values and of four others, which e4m3_pair() takes.
__device__ inline std::uint32_t e4m3_of_both(std::uint32_t front, std::uint32_t back, unsigned i) {
  return __byte_perm(front, back, i | i << 4U | (i + 4) << 8U | (i + 4) << 12U);
}

// Eight e4m3 values times a bf16 scale of at most 2^7, rounded to bf16.
__device__ inline uint4 scaled_e4m3x8(uint2 bytes, float scale) {
  const __nv_bfloat162 factors = __float2bfloat162_rn(scale * 0x1p120F);
  return {e4m3_pair(__byte_perm(bytes.x, 0, 0x1404), factors),
          e4m3_pair(__byte_perm(bytes.x, 0, 0x3424), factors),
          e4m3_pair(__byte_perm(bytes.y, 0, 0x1404), factors),
          e4m3_pair(__byte_perm(bytes.y, 0, 0x3424), factors)};
}

}  // namespace glm::kernels::device
