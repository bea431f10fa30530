#include "kernels/dtype.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace glm::kernels {
namespace {

struct Row {
  std::string_view name;
  std::int64_t size_bytes;
};

// In the order of the enumeration.
constexpr std::array<Row, 16> kRows = {{
    {"f64", 8},
    {"f32", 4},
    {"f16", 2},
    {"bf16", 2},
    {"f8_e4m3", 1},
    {"f8_e5m2", 1},
    {"f8_e8m0", 1},
    {"i64", 8},
    {"i32", 4},
    {"i16", 2},
    {"i8", 1},
    {"u64", 8},
    {"u32", 4},
    {"u16", 2},
    {"u8", 1},
    {"bool", 1},
}};

const Row& row(Dtype dtype) {
  const auto index = static_cast<std::size_t>(dtype);
  GLM_CHECK(index < kRows.size());
  return kRows[index];
}

}  // namespace

std::string_view name(Dtype dtype) {
  return row(dtype).name;
}
std::int64_t size_bytes(Dtype dtype) {
  return row(dtype).size_bytes;
}

float f16_to_f32(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000U) << 16U;
  const std::uint32_t exponent = (bits >> 10U) & 0x1FU;
  const std::uint32_t mantissa = bits & 0x3FFU;
  if (exponent == 0x1F) {
    return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  }
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24 is exact in f32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
}

std::uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint32_t>((bits >> 16U) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
  // 65520 is halfway between the largest f16 and the next power of two; the tie goes to infinity.
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {  // below 2^-14: a multiple of 2^-24, rounded by the addition
    // Adding 2^-1 (whose ulp is 2^-24) rounds to nearest even in hardware.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000U));
  }
  const std::uint32_t rebiased = magnitude - (112U << 23U);
  const std::uint32_t rounded = rebiased + 0xFFFU + ((rebiased >> 13U) & 1U);
  return static_cast<std::uint16_t>(sign | (rounded >> 13U));
}

float f8_e4m3_to_f32(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 0xF;
  const int mantissa = bits & 7;
  float magnitude = 0;
  if (exponent == 15 && mantissa == 7) {
    magnitude = std::numeric_limits<float>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(mantissa), -9);
  } else {
    magnitude = std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  }
  return (bits & 0x80) != 0 ? -magnitude : magnitude;
}

std::uint8_t f32_to_f8_e4m3(float value) {
  if (std::isnan(value)) return 0x7F;
  const float magnitude = std::min(std::abs(value), 448.0F);
  // Steps are 2^-9 below 2^-6, and three bits behind the first above.
  const int exponent = std::max(magnitude == 0 ? -6 : std::ilogb(magnitude), -6);
  auto steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  steps += (exponent + 6) * 8;  // a carry is a step of the next exponent
  return static_cast<std::uint8_t>((std::signbit(value) ? 0x80 : 0) | steps);
}

float f8_e8m0_to_f32(std::uint8_t bits) {
  if (bits == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0F, static_cast<int>(bits) - 127);
}

float e2m1_to_f32(std::uint8_t code) {
  constexpr std::array<float, 8> kMagnitudes = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const float magnitude = kMagnitudes[code & 7U];
  return (code & 8U) != 0 ? -magnitude : magnitude;
}

}  // namespace glm::kernels
