// Published vectors of the packed formats, then random weights of every shape against the
// definition.
#include "kernels/weight_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace glm::kernels {
namespace {

constexpr std::uint16_t kScale = 0x3C4A;  // 0.0123 in bf16

std::vector<float> decode(const WeightView& weight) {
  std::vector<float> out(static_cast<std::size_t>(weight.layout.rows * weight.layout.cols));
  decode_rows(weight, 0, weight.layout.rows, out);
  return out;
}

std::vector<float> decode_int4(const std::vector<std::uint32_t>& words, std::int64_t cols,
                               std::uint16_t scale) {
  return decode({.layout = {.format = WeightFormat::int4_group,
                            .rows = 1,
                            .cols = cols,
                            .group = cols,
                            .scale_dtype = Dtype::bf16},
                 .data = words.data(),
                 .scales = &scale});
}

TEST(Int4Group, DecodesTheRamp) {
  const std::vector<float> got = decode_int4({0x76543210, 0xFEDCBA98}, 16, 0x3F80);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], float(i - 8));
}

TEST(Int4Group, RoundsEachWeightToBf16) {
  constexpr std::uint16_t kWant[] = {0x3D18, 0xBDCA, 0x3DB1, 0x0000,
                                     0xBC4A, 0x3D7C, 0xBD4A, 0x3CCA};
  const std::vector<float> got = decode_int4({0xA4D78F0B}, 8, kScale);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(got[i], bf16_to_f32(kWant[i]));
}

TEST(Int4Group, StopsAtARaggedEnd) {
  const std::vector<float> got = decode_int4({0xA4D78F0B, 0x00000169}, 11, 0x3F80);
  EXPECT_EQ(got, (std::vector<float>{3, -8, 7, 0, -1, 5, -4, 2, 1, -2, -7}));
}

TEST(Int4Group, DecodesTheMiniLayer) {
  const std::vector<std::uint32_t> words = {0x3E94FA50, 0xB61C72D8, 0x3E94FA50, 0xB61C72D8,
                                            0x630DA741, 0xEB852FC9, 0x630DA741, 0xEB852FC9};
  const std::uint16_t scales[] = {kScale, 0x3F00};
  const std::vector<float> got = decode({.layout = {.format = WeightFormat::int4_group,
                                                    .rows = 2,
                                                    .cols = 32,
                                                    .group = 32,
                                                    .scale_dtype = Dtype::bf16},
                                         .data = words.data(),
                                         .scales = scales});
  constexpr std::uint16_t kFirst[] = {0xBDCA, 0xBD18, 0x3CCA, 0x3DB1,
                                      0xBD4A, 0x3C4A, 0x3D98, 0xBD7C};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(got[i], bf16_to_f32(kFirst[i]));
  double first = 0;
  double second = 0;
  for (std::size_t k = 0; k < 32; ++k) {
    first += static_cast<double>(got[k]) * static_cast<double>(k);
    second += static_cast<double>(got[32 + k]) * static_cast<double>(k);
  }
  EXPECT_EQ(first, -2.56591796875);
  EXPECT_EQ(second, 16.0);
}

TEST(Int8Group, DecodesTheVector) {
  const std::uint32_t word = 0xFF807F00;
  const std::uint16_t one = 0x3F80;
  EXPECT_EQ(decode({.layout = {.format = WeightFormat::int8_group,
                               .rows = 1,
                               .cols = 4,
                               .group = 4,
                               .scale_dtype = Dtype::bf16},
                    .data = &word,
                    .scales = &one}),
            (std::vector<float>{-128, -1, 0, 127}));
}

TEST(QuantizedWeights, AreTheRoundedProductForEveryShapeAndScale) {
  std::mt19937 random(7);
  for (const WeightFormat format : {WeightFormat::int4_group, WeightFormat::int8_group}) {
    for (const Dtype dtype : {Dtype::bf16, Dtype::f16, Dtype::f32}) {
      for (const std::int64_t cols : {1, 2, 7, 8, 31, 32, 33, 96, 128}) {
        for (const std::int64_t group : {std::int64_t{32}, std::int64_t{5}, cols}) {
          const WeightLayout layout{
              .format = format, .rows = 3, .cols = cols, .group = group, .scale_dtype = dtype};
          std::vector<std::uint8_t> data(static_cast<std::size_t>(layout.bytes(WeightPart::data)));
          for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
          std::vector<std::uint16_t> halves;
          std::vector<float> floats;
          for (std::int64_t i = 0; i < 3 * layout.groups(); ++i) {
            const float scale = std::ldexp(static_cast<float>(random() % 1000), -14);
            floats.push_back(scale);
            halves.push_back(dtype == Dtype::f16 ? f32_to_f16(scale) : f32_to_bf16(scale));
          }
          const void* scales = dtype == Dtype::f32 ? static_cast<const void*>(floats.data())
                                                   : static_cast<const void*>(halves.data());
          const std::vector<float> got =
              decode({.layout = layout, .data = data.data(), .scales = scales});
          for (std::int64_t r = 0; r < 3; ++r) {
            for (std::int64_t c = 0; c < cols; ++c) {
              const auto* row = data.data() + r * layout.data_row_bytes();
              const int q = format == WeightFormat::int8_group
                                ? row[c] - 128
                                : ((row[c / 2] >> (4 * (c % 2))) & 15) - 8;
              const auto s = static_cast<std::size_t>(r * layout.groups() + c / group);
              float want = 0;
              if (dtype == Dtype::f32) want = static_cast<float>(q) * floats[s];
              if (dtype == Dtype::bf16) {
                want = bf16_to_f32(f32_to_bf16(static_cast<float>(q) * bf16_to_f32(halves[s])));
              }
              if (dtype == Dtype::f16) {
                want = f16_to_f32(f32_to_f16(static_cast<float>(q) * f16_to_f32(halves[s])));
              }
              ASSERT_EQ(got[static_cast<std::size_t>(r * cols + c)], want)
                  << name(format) << " " << name(dtype) << " cols " << cols << " group " << group;
            }
          }
        }
      }
    }
  }
}

TEST(QuantizedWeights, SurviveScalesThatAreNoNumbers) {
  constexpr std::uint16_t kScales[] = {0x7F80, 0xFF80, 0x7FFF, 0x7F81};
  for (const std::uint16_t scale : kScales) {
    for (const float value : decode_int4({0x76543210}, 8, scale))
      EXPECT_FALSE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace glm::kernels
