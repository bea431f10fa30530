#include "kernels/dtype.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace glm::kernels {
namespace {

struct E4m3Case {
  std::uint8_t code;
  float value;
};

TEST(Dtype, DecodesE2m1) {
  constexpr std::array<float, 16> kValues = {
      0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};
  for (std::uint8_t code = 0; code < 16; ++code) {
    EXPECT_EQ(std::bit_cast<std::uint32_t>(e2m1_to_f32(code)),
              std::bit_cast<std::uint32_t>(kValues[code]));
  }
}

TEST(Dtype, DecodesE4m3) {
  constexpr E4m3Case kCases[] = {
      {0x00, 0.0F},  {0x01, 0.001953125F}, {0x07, 0.013671875F}, {0x08, 0.015625F}, {0x30, 0.5F},
      {0x38, 1.0F},  {0x3C, 1.5F},         {0x40, 2.0F},         {0x48, 4.0F},      {0x4D, 6.5F},
      {0x5C, 24.0F}, {0x77, 240.0F},       {0x78, 256.0F},       {0x7E, 448.0F},    {0x80, -0.0F},
      {0xB8, -1.0F}, {0xFE, -448.0F},
  };
  for (const E4m3Case& c : kCases) EXPECT_EQ(f8_e4m3_to_f32(c.code), c.value) << int{c.code};
  EXPECT_TRUE(std::isnan(f8_e4m3_to_f32(0x7F)));
  EXPECT_TRUE(std::isnan(f8_e4m3_to_f32(0xFF)));
  EXPECT_TRUE(std::signbit(f8_e4m3_to_f32(0x80)));
}

TEST(Dtype, DecodesE8m0) {
  EXPECT_EQ(std::bit_cast<std::uint32_t>(f8_e8m0_to_f32(0)), 0x00400000U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(f8_e8m0_to_f32(1)), 0x00800000U);
  EXPECT_EQ(f8_e8m0_to_f32(121), 0x1p-6F);
  EXPECT_EQ(f8_e8m0_to_f32(126), 0.5F);
  EXPECT_EQ(f8_e8m0_to_f32(127), 1.0F);
  EXPECT_EQ(f8_e8m0_to_f32(130), 8.0F);
  EXPECT_EQ(f8_e8m0_to_f32(254), 0x1p127F);
  EXPECT_TRUE(std::isnan(f8_e8m0_to_f32(255)));
}

TEST(Dtype, RoundsToBf16AtTiesToEven) {
  EXPECT_EQ(f32_to_bf16(1.00390625F), 0x3F80);
  EXPECT_EQ(f32_to_bf16(1.01171875F), 0x3F82);
  EXPECT_EQ(f32_to_bf16(3.140625F), 0x4049);
  EXPECT_EQ(f32_to_bf16(0.0123F), 0x3C4A);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::infinity()), 0x7F80);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7F800001U)))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0xFFFFFFFFU)))));
}

TEST(Dtype, RoundsToF16) {
  EXPECT_EQ(f32_to_f16(0.0123F), 0x224C);
  EXPECT_EQ(f32_to_f16(65504.0F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65519.996F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(-1e9F), 0xFC00);
  EXPECT_EQ(f32_to_f16(0x1p-24F), 0x0001);
  EXPECT_EQ(f32_to_f16(0x1p-25F), 0x0000);  // a tie, to even
  EXPECT_EQ(f32_to_f16(0x1.8p-24F), 0x0002);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::quiet_NaN()) & 0x7C00, 0x7C00);
}

// Against a search for the nearest of all values; of two, the one with an even code.
TEST(Dtype, RoundsToE4m3) {
  const auto nearest = [](float value) {
    std::uint8_t best = 0;
    for (std::uint8_t code = 1; code < 0x7F; ++code) {
      const float nearer = std::abs(f8_e4m3_to_f32(best) - value);
      const float distance = std::abs(f8_e4m3_to_f32(code) - value);
      if (distance < nearer || (distance == nearer && code % 2 == 0)) best = code;
    }
    return best;
  };
  for (std::uint8_t code = 0; code < 0x7E; ++code) {
    const float low = f8_e4m3_to_f32(code);
    const float high = f8_e4m3_to_f32(static_cast<std::uint8_t>(code + 1));
    const float middle = (low + high) / 2;
    for (const float value : {low, std::nextafter(middle, low), middle,
                              std::nextafter(middle, high), low + (high - low) * 0.3F}) {
      EXPECT_EQ(f32_to_f8_e4m3(value), nearest(value)) << value;
      EXPECT_EQ(f32_to_f8_e4m3(-value), nearest(value) | 0x80) << value;
    }
  }
  EXPECT_EQ(f32_to_f8_e4m3(1e-30F), 0);
  EXPECT_EQ(f32_to_f8_e4m3(449.0F), 0x7E);
  EXPECT_EQ(f32_to_f8_e4m3(-std::numeric_limits<float>::infinity()), 0xFE);
  EXPECT_EQ(f32_to_f8_e4m3(std::numeric_limits<float>::quiet_NaN()), 0x7F);
}

// Every 16-bit pattern survives the way to f32 and back.
TEST(Dtype, ConvertsEveryHalfBackToItself) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float from_f16 = f16_to_f32(half);
    EXPECT_TRUE(std::isnan(from_f16) || f32_to_f16(from_f16) == half) << bits;
    const float from_bf16 = bf16_to_f32(half);
    EXPECT_TRUE(std::isnan(from_bf16) || f32_to_bf16(from_bf16) == half) << bits;
  }
}

}  // namespace
}  // namespace glm::kernels
