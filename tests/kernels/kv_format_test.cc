// Records of fp8 latents: where their parts lie, what they keep, and how exact they are.
#include "kernels/kv_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "kernels/dtype.h"

namespace glm::kernels {
namespace {

using Floats = std::vector<float>;
using Bytes = std::vector<std::uint8_t>;

constexpr LatentRecord kLayouts[] = {{512, 64}, {1, 0},   {33, 7},  {40, 9},
                                     {128, 16}, {129, 1}, {131, 0}, {300, 5}};

class KvFormatTest : public testing::Test {
 protected:
  KvFormatTest() { std::printf("seed %u\n", seed_); }

  Floats normal(std::int64_t count, float size = 1) {
    Floats values(static_cast<std::size_t>(count));
    for (float& value : values) value = bf16_to_f32(f32_to_bf16(size * normal_(engine_)));
    return values;
  }

  const std::uint32_t seed_ = std::random_device{}();
  std::mt19937 engine_{seed_};
  std::normal_distribution<float> normal_;
};

Bytes encoded(const LatentRecord& layout, const Floats& values) {
  Bytes record(static_cast<std::size_t>(layout.size_bytes()), 0xAA);
  encode(layout, values.data(), record.data());
  return record;
}

Floats decoded(const LatentRecord& layout, const Bytes& record) {
  Floats values(static_cast<std::size_t>(layout.latent + layout.rope));
  decode(layout, record.data(), layout.latent + layout.rope, values.data());
  return values;
}

float scale_at(const LatentRecord& layout, const Bytes& record, std::int64_t block) {
  float scale = 0;
  std::memcpy(&scale, record.data() + layout.scales_at() + block * 4, sizeof(scale));
  return scale;
}

TEST_F(KvFormatTest, ARecordOfTheFlashModelTakes656Bytes) {
  constexpr LatentRecord kFlash{.latent = 512, .rope = 64};
  EXPECT_EQ(kFlash.scales_at(), 512);
  EXPECT_EQ(kFlash.rope_at(), 528);
  EXPECT_EQ(kFlash.size_bytes(), 656);
}

TEST_F(KvFormatTest, PartsFollowEachOtherAndGapsAreZero) {
  for (const LatentRecord& layout : kLayouts) {
    const Bytes record =
        encoded(layout, Floats(static_cast<std::size_t>(layout.latent + layout.rope), 3.5F));
    EXPECT_EQ(record.size() % 16, 0U);
    EXPECT_EQ(layout.scales_at() % 4, 0);
    const auto zeros = [&](std::int64_t first, std::int64_t end) {
      return std::all_of(record.begin() + first, record.begin() + end,
                         [](std::uint8_t byte) { return byte == 0; });
    };
    EXPECT_TRUE(zeros(layout.latent, layout.scales_at()));
    EXPECT_TRUE(zeros(layout.rope_at() + 2 * layout.rope, layout.size_bytes()));
    EXPECT_EQ(decoded(layout, record),
              Floats(static_cast<std::size_t>(layout.latent + layout.rope), 3.5F));
  }
}

TEST_F(KvFormatTest, ValuesComeBackWithinAStepOfTheirSize) {
  for (const LatentRecord& layout : kLayouts) {
    for (const float size : {1e-12F, 1e-3F, 1.0F, 100.0F}) {
      Floats values = normal(layout.latent + layout.rope, size);
      values[0] *= 50;
      const Bytes record = encoded(layout, values);
      const Floats got = decoded(layout, record);
      for (std::int64_t c = 0; c < layout.latent + layout.rope; ++c) {
        const float want = values[static_cast<std::size_t>(c)];
        const float error = std::abs(got[static_cast<std::size_t>(c)] - want);
        if (c >= layout.latent) {
          EXPECT_EQ(error, 0) << "rope is bf16";
          continue;
        }
        const float scale = scale_at(layout, record, c / LatentRecord::kBlock);
        EXPECT_LE(error, std::max(std::abs(want) / 16, scale / 1024) * 1.000001F);
      }
    }
  }
}

TEST_F(KvFormatTest, WhatHasBeenEncodedOnceIsKept) {
  const LatentRecord layout{.latent = 512, .rope = 64};
  const Bytes first = encoded(layout, normal(576));
  EXPECT_EQ(encoded(layout, decoded(layout, first)), first);
}

TEST_F(KvFormatTest, ScalesHaveEightSignificantBitsAndBounds) {
  const LatentRecord layout{.latent = 128, .rope = 0};
  for (const float size : {0.0F, 1e-38F, 1e-20F, 0.3F, 1.0F, 5e4F, 1e6F, 3e38F}) {
    Floats values(128, 0.0F);
    values[5] = -size;
    const Bytes record = encoded(layout, values);
    const float scale = scale_at(layout, record, 0);
    EXPECT_EQ(bf16_to_f32(f32_to_bf16(scale)), scale);
    EXPECT_GE(scale, 0x1p-100F);
    EXPECT_LE(scale, 0x1p7F);
    const float got = decoded(layout, record)[5];
    if (size > 57344) {
      EXPECT_EQ(got, -57344);
    } else if (size > 1e-25F) {
      EXPECT_NEAR(got, -size, size / 255) << "the largest of a block is nearly exact";
    } else {
      EXPECT_NEAR(got, 0, 1e-25F);
    }
  }
}

TEST_F(KvFormatTest, WhatIsNotFiniteShowsInItsBlockAlone) {
  const LatentRecord layout{.latent = 256, .rope = 2};
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Floats values(258, 7.0F);
    values[130] = bad;
    const Floats got = decoded(layout, encoded(layout, values));
    EXPECT_TRUE(std::all_of(got.begin(), got.begin() + 128, [](float v) { return v == 7; }));
    EXPECT_TRUE(
        std::all_of(got.begin() + 128, got.begin() + 256, [](float v) { return std::isnan(v); }));
    EXPECT_EQ(got[256], 7);
  }
}

// The figures of docs/performance.md.
TEST_F(KvFormatTest, RandomRowsAndRowsWithOutliersComeBackToAFewPercent) {
  const LatentRecord layout{.latent = 512, .rope = 0};
  struct Rows {
    const char* name;
    std::function<Floats()> draw;
    double bound;
  };
  const auto with_outlier = [&](float size) {
    Floats row = normal(512);
    for (std::size_t block = 0; block < 4; ++block) row[block * 128 + engine_() % 128] *= size;
    return row;
  };
  const Rows kRows[] = {
      {"normal", [&] { return normal(512); }, 2.7e-2},
      {"one of 128 a hundred times larger", [&] { return with_outlier(100); }, 2.7e-2},
      {"one of 128 ten thousand times larger", [&] { return with_outlier(1e4F); }, 2.7e-2},
  };
  for (const Rows& rows : kRows) {
    double difference = 0;
    double norm = 0;
    double others_difference = 0;
    double others_norm = 0;
    for (int i = 0; i < 2000; ++i) {
      const Floats want = rows.draw();
      const Floats got = decoded(layout, encoded(layout, want));
      for (std::size_t c = 0; c < want.size(); ++c) {
        const double d = static_cast<double>(got[c]) - static_cast<double>(want[c]);
        const double w = static_cast<double>(want[c]);
        difference += d * d;
        norm += w * w;
        if (std::abs(want[c]) > 6) continue;
        others_difference += d * d;
        others_norm += w * w;
      }
    }
    const double all = std::sqrt(difference / norm);
    const double others = std::sqrt(others_difference / others_norm);
    std::printf("%-40s relative RMS %.2e, of values below 6 %.2e\n", rows.name, all, others);
    EXPECT_LE(all, rows.bound);
    EXPECT_LE(others, 5e-2);
  }
}

}  // namespace
}  // namespace glm::kernels
