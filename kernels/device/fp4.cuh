// e2m1 with a scale per block, dequantized in registers: weights as bf16 numbers, exactly but for a
// power of two. That and the one scale of a whole nvfp4 weight are left out: whoever multiplies
// applies an Fp4Unit to the sums.
//
// A code's exponent and mantissa become the lowest of bf16's, which is the code times 2^-126. The
// scale makes up for it, as far as its own range allows: so one product decodes two weights.
#pragma once

#include <cuda_bf16.h>

#include "kernels/device/weight.cuh"

namespace glm::kernels::device {

// The scales of two blocks, which are the upper bytes of both halves: those in e4m3 come times
// 2^119, those in e8m0 times 2^62. They are no NaN, and in e8m0 at least 2^-61 and less than 2^65.
// There is no branch here: whoever decodes much would wait at it.
__device__ inline __nv_bfloat162 fp4_scales(ScaleType type, std::uint32_t bytes) {
  const bool e4m3 = type == ScaleType::e4m3;
  const std::uint32_t sign = bytes & (e4m3 ? 0x80008000U : 0U);
  const std::uint32_t bits =
      sign | (bytes >> (e4m3 ? 4U : 1U) & (e4m3 ? 0x07F007F0U : 0x7F807F80U));
  const __nv_bfloat162 small = *reinterpret_cast<const __nv_bfloat162*>(&bits);  // e4m3: * 2^-120
  const __nv_bfloat162 larger = __hmul2(small, __float2bfloat162_rn(e4m3 ? 0x1p127F : 0x1p31F));
  return __hmul2(larger, __float2bfloat162_rn(e4m3 ? 0x1p112F : 0x1p31F));
}
__device__ inline __nv_bfloat162 fp4_scales(ScaleType type, std::uint8_t first,
                                            std::uint8_t second) {
  return fp4_scales(type, __byte_perm(first, second, 0x4501));
}
// Of thirty-two columns of a row, as they lie in memory: two numbers in e4m3, or one in e8m0, which
// is then given twice.
__device__ inline __nv_bfloat162 fp4_row_scales(ScaleType type, std::uint32_t bits) {
  return fp4_scales(type, __byte_perm(bits, 0, type == ScaleType::e4m3 ? 0x1404 : 0x0404));
}
__device__ inline __nv_bfloat16 fp4_scale(ScaleType type, std::uint32_t bits) {
  return __low2bfloat16(fp4_row_scales(type, bits));
}

// Column i, i = 0 .. 3, of the four in each half of a word.
__device__ inline std::uint32_t fp4_pair(std::uint32_t word, int i, __nv_bfloat162 scales) {
  // Each code twice, by one product: once its sign comes to bit 15, once the rest to bits 6 to 8.
  const std::uint32_t codes =
      (i < 2 ? word : word >> 8U) & (i % 2 == 0 ? 0x008E008EU : 0x00710071U);
  const std::uint32_t fields = codes * (i % 2 == 0 ? 0x0120U : 0x8004U) & 0x81C081C0U;
  const __nv_bfloat162 code = *reinterpret_cast<const __nv_bfloat162*>(&fields);
  const __nv_bfloat162 value = __hmul2(code, scales);
  return *reinterpret_cast<const std::uint32_t*>(&value);
}
// Columns i and i + 4 of the eight in a word.
__device__ inline std::uint32_t fp4_pair(std::uint32_t word, int i, __nv_bfloat16 scale) {
  return fp4_pair(word, i, __bfloat162bfloat162(scale));
}
// Both columns of the byte that a word is.
__device__ inline std::uint32_t fp4_byte(std::uint32_t byte, __nv_bfloat16 scale) {
  const std::uint32_t fields =
      (byte * 0x00040020U & 0x01C001C0U) | (byte * 0x80000100U & 0x80008000U);
  const __nv_bfloat162 code = *reinterpret_cast<const __nv_bfloat162*>(&fields);
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

// What sums of such weights are to be multiplied with. The scale of the whole weight is asked for
// when this is made; only who uses the number waits for it, a microsecond if memory is busy.
class Fp4Unit {
 public:
  Fp4Unit() = default;  // one
  // `besides`: another factor.
  __device__ explicit Fp4Unit(const Weight& w, float besides = 1)
      : left_out_(besides * (w.scale_type == ScaleType::e8m0 ? 0x1p64F : 0x1p7F)),
        how_(w.global_scale) {
    if (how_ == Global::none) return;
    asm volatile("ld.global.nc.f32 %0, [%1];\n" : "=f"(global_) : "l"(w.global));
  }
  __device__ operator float() const {
    if (how_ == Global::none) return left_out_;
    return how_ == Global::multiplies ? global_ * left_out_ : __fdividef(left_out_, global_);
  }

 private:
  float left_out_ = 1;
  float global_ = 1;
  Global how_ = Global::none;
};

}  // namespace glm::kernels::device
