// Element types of tensors, in memory and in files, and the exact conversions between them.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace glm::kernels {

enum class Dtype : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,  // the "fn" variant: no infinity, 0x7f and 0xff are NaN
  f8_e5m2,
  f8_e8m0,  // 2^(b-127), 255 is NaN
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
};

std::string_view name(Dtype dtype);  // "bf16"
std::int64_t size_bytes(Dtype dtype);

inline float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

// Round to nearest, ties to even. NaN stays NaN.
inline std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

float f16_to_f32(std::uint16_t bits);
std::uint16_t f32_to_f16(float value);  // round to nearest even, overflow to infinity
float f8_e4m3_to_f32(std::uint8_t bits);
std::uint8_t f32_to_f8_e4m3(float value);  // round to nearest even, beyond 448 to 448; NaN is 0x7f
float f8_e8m0_to_f32(std::uint8_t bits);
float e2m1_to_f32(std::uint8_t code);  // the low four bits

}  // namespace glm::kernels
