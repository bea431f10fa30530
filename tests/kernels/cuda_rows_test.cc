// Rotation, and rows written to and gathered from pages, against plain loops.
#include <gtest/gtest.h>

#include <type_traits>

#include "kernels/cuda/attention.h"
#include "tests/kernels/cuda_attention_cases.h"

namespace glm::kernels {
namespace {

using namespace cases;  // NOLINT: they belong to this test

class CudaRowsTest : public testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) GTEST_SKIP() << "no GPU";
    engine_.seed(seed());
  }
  std::mt19937 engine_;
};

void store(Cache& cache, const Bits& x) {
  const auto width = static_cast<std::int64_t>(x.size()) / cache.tokens();
  const DeviceArray<std::uint16_t> device_x(x);
  ASSERT_EQ(cuda::launch_store_rows({.rows = cache.rows(),
                                     .tokens = cache.step(),
                                     .x = {device_x.data(), Dtype::bf16, {cache.tokens(), width}}},
                                    nullptr),
            cudaSuccess);
  for (std::size_t t = 0; t < cache.sequence.size(); ++t) {
    cache.set_row(cache.sequence[t], cache.position[t],
                  x.data() + static_cast<std::int64_t>(t) * width);
  }
}

// The first columns of sequence 0 are what the host has of them; NaN is NaN.
void expect_gathered(Cache& cache, std::int64_t columns) {
  const std::int64_t positions = 70;
  const DeviceArray<std::uint16_t> out(Bits(static_cast<std::size_t>(positions * columns), kNan));
  ASSERT_EQ(cuda::launch_gather_rows({.out = {out.data(), Dtype::bf16, {positions, columns}},
                                      .rows = cache.rows(),
                                      .sequence = 0},
                                     nullptr),
            cudaSuccess);
  const Bits got = out.get();
  const auto same = [](std::uint16_t a, std::uint16_t b) {
    return a == b || (std::isnan(bf16_to_f32(a)) && std::isnan(bf16_to_f32(b)));
  };
  for (int p = 0; p < positions; ++p) {
    EXPECT_TRUE(std::equal(got.begin() + p * columns, got.begin() + (p + 1) * columns,
                           cache.row_of(0, p), same));
  }
}

TEST_F(CudaRowsTest, StoredRowsAreGathered) {
  for (const std::int64_t width : {7, 40, 576, 2048}) {
    Cache cache(engine_, {{0, 70}, {63, 2}, {200, 1}}, width);
    store(cache, random_bits(engine_, cache.tokens() * width));
    EXPECT_EQ(cache.device_pages().get(), cache.page_bits);
    for (const std::int64_t columns : {width, width * 2 / 3}) expect_gathered(cache, columns);
  }
}

// The bytes that the host makes of the same bf16 numbers, of all sizes, some not finite.
TEST_F(CudaRowsTest, StoredLatentsAreTheRecordsOfTheHost) {
  struct Shape {
    std::int64_t width, latent;
  };
  for (const Shape& s :
       {Shape{1, 1}, Shape{40, 33}, Shape{150, 131}, Shape{576, 512}, Shape{900, 700}}) {
    Cache cache(engine_, {{0, 70}, {63, 2}, {200, 1}}, s.width, s.latent);
    Bits x = random_bits(engine_, cache.tokens() * s.width);
    for (std::int64_t row = 0; row < cache.tokens(); ++row) {
      const int exponent = static_cast<int>(engine_() % 300) - 160;
      for (std::int64_t c = 0; c < s.width; ++c) {
        std::uint16_t& bits = x[static_cast<std::size_t>(row * s.width + c)];
        const int outlier = engine_() % 128 == 0 ? 8 : 0;
        bits = f32_to_bf16(std::ldexp(bf16_to_f32(bits), exponent / 4 + outlier));
        if (row % 16 == 5 && engine_() % 256 == 0) bits = engine_() % 2 == 0 ? kNan : 0xFF80;
      }
    }
    store(cache, x);
    EXPECT_TRUE(cache.device_records().get() == cache.records) << s.width;
    for (const std::int64_t columns : {s.width, s.latent * 2 / 3 + 1}) {
      expect_gathered(cache, columns);
    }
  }
}

template <typename T>
void rotate(std::mt19937& engine, RopePairs pairs, std::int64_t heads, std::int64_t dim,
            std::int64_t half, std::int64_t tokens, bool in_place) {
  std::vector<std::int32_t> positions;
  for (std::int64_t t = 0; t < tokens; ++t) {
    positions.push_back(static_cast<std::int32_t>(engine() % 200000));
  }
  std::vector<float> inv_freq;
  for (std::int64_t k = 0; k < half; ++k) {
    inv_freq.push_back(std::pow(1e6F, -static_cast<float>(k) / static_cast<float>(half)));
  }
  const Bits bits = random_bits(engine, tokens * heads * dim);
  std::vector<T> x;
  for (const std::uint16_t b : bits) {
    if constexpr (std::is_same_v<T, float>) x.push_back(bf16_to_f32(b));
    if constexpr (!std::is_same_v<T, float>) x.push_back(b);
  }
  const Dtype dtype = std::is_same_v<T, float> ? Dtype::f32 : Dtype::bf16;
  const DeviceArray<T> device_x(x);
  const DeviceArray<T> other(std::vector<T>(x.size(), T(kNan)));
  const DeviceArray<T>& out = in_place ? device_x : other;
  const DeviceArray<std::int32_t> device_positions(positions);
  const DeviceArray<float> device_freq(inv_freq);
  const Rope a{.out = {out.data(), dtype, {tokens, heads, dim}},
               .x = {device_x.data(), dtype, {tokens, heads, dim}},
               .positions = {device_positions.data(), Dtype::i32, {tokens}},
               .inv_freq = {device_freq.data(), Dtype::f32, {half}},
               .pairs = pairs};
  check(a);
  ASSERT_EQ(cuda::launch_rope(a, nullptr), cudaSuccess);
  const std::vector<T> got = out.get();
  for (std::int64_t row = 0; row < tokens * heads; ++row) {
    const auto position = positions[static_cast<std::size_t>(row / heads)];
    const auto at = [&](std::int64_t c) { return static_cast<std::size_t>(row * dim + c); };
    const auto value = [](T v) {
      if constexpr (std::is_same_v<T, float>) return static_cast<double>(v);
      if constexpr (!std::is_same_v<T, float>) return static_cast<double>(bf16_to_f32(v));
    };
    for (std::int64_t c = 2 * half; c < dim; ++c) ASSERT_EQ(got[at(c)], x[at(c)]);
    for (std::int64_t k = 0; k < half; ++k) {
      const bool near = pairs == RopePairs::interleaved;
      const std::int64_t first = near ? 2 * k : k;
      const std::int64_t second = near ? 2 * k + 1 : k + half;
      const float angle = static_cast<float>(position) * inv_freq[static_cast<std::size_t>(k)];
      const double cosine = std::cos(static_cast<double>(angle));
      const double sine = std::sin(static_cast<double>(angle));
      // Half a step of a bf16 between 1 and 2, and what the angle's sine is off before that.
      const double tolerance = std::is_same_v<T, float> ? 4e-7 : 0x1p-8 + 4e-7;
      EXPECT_NEAR(value(got[at(first)]), value(x[at(first)]) * cosine - value(x[at(second)]) * sine,
                  tolerance);
      EXPECT_NEAR(value(got[at(second)]),
                  value(x[at(second)]) * cosine + value(x[at(first)]) * sine, tolerance);
    }
  }
}

TEST_F(CudaRowsTest, RopeTurnsPairsAtAnyPosition) {
  struct Shape {
    std::int64_t heads, dim, half;
  };
  for (const Shape& s : {Shape{1, 64, 32}, {20, 64, 32}, {3, 128, 32}, {1, 5, 1}, {2, 9, 0}}) {
    for (const std::int64_t tokens : {1, 2, 33}) {
      for (const RopePairs pairs : {RopePairs::interleaved, RopePairs::half_split}) {
        for (const bool in_place : {false, true}) {
          rotate<float>(engine_, pairs, s.heads, s.dim, s.half, tokens, in_place);
          rotate<std::uint16_t>(engine_, pairs, s.heads, s.dim, s.half, tokens, in_place);
        }
      }
    }
  }
}

}  // namespace
}  // namespace glm::kernels
