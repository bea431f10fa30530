// CUDA operations against the CPU reference on the same numbers, bf16 as they are in memory.
#include "kernels/cuda/cuda_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/device_info.h"
#include "kernels/ops.h"

namespace glm::kernels {
namespace {

using Bits = std::vector<std::uint16_t>;

class CudaOpsTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto devices = probe_devices();
    ASSERT_TRUE(devices.ok()) << devices.error().message;
    if (devices->empty()) GTEST_SKIP() << "no GPU";
    auto opened = cuda::CudaOps::open(0);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    gpu_ = std::move(opened).value();
  }

  // Memory of the device with these values in it; lives as long as the test.
  template <typename T>
  void* device(const std::vector<T>& values) {
    auto buffer = gpu_->allocate(values.size() * sizeof(T));
    EXPECT_TRUE(buffer.ok()) << buffer.error().message;
    gpu_->upload(buffer->data(), std::as_bytes(std::span(values)));
    buffers_.push_back(std::move(buffer).value());
    return buffers_.back().data();
  }
  template <typename T>
  std::vector<T> back(const void* memory, std::size_t count) {
    std::vector<T> values(count);
    gpu_->download(std::as_writable_bytes(std::span(values)), memory);
    const Status status = gpu_->sync();
    EXPECT_TRUE(status.ok()) << status.error().message;
    return values;
  }
  Bits random(std::int64_t count, float spread = 1.0F) {
    Bits values;
    for (std::int64_t i = 0; i < count; ++i) {
      const float unit = static_cast<float>(engine_() >> 8U) * 0x1p-23F - 1.0F;
      values.push_back(f32_to_bf16(unit * spread));
    }
    return values;
  }
  static std::vector<float> floats(const Bits& bits) {
    std::vector<float> values;
    for (const std::uint16_t b : bits) values.push_back(bf16_to_f32(b));
    return values;
  }

  std::mt19937 engine_{20260102};  // NOLINT: the seed belongs to the test
  std::unique_ptr<Ops> cpu_ = make_cpu_ops(1);
  std::unique_ptr<cuda::CudaOps> gpu_;
  std::vector<Buffer> buffers_;
};

constexpr std::int64_t kDims[] = {1, 2, 7, 31, 32, 33, 127, 128, 129, 2048, 5120};

TEST_F(CudaOpsTest, SelfTestPasses) {
  const Status status = self_test(0);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST_F(CudaOpsTest, RmsNormAgreesWithTheReference) {
  for (const std::int64_t dim : kDims) {
    for (const std::int64_t rows : {0, 1, 3}) {
      for (const bool fused : {false, true}) {
        const Bits x = random(rows * dim, 3);
        const Bits weight = random(dim, 2);
        const Bits before = random(rows * dim);
        void* residual = device(before);
        void* out = device(Bits(x.size()));
        const TensorView absent;
        gpu_->rms_norm({.out = {out, Dtype::bf16, {rows, dim}},
                        .x = {device(x), Dtype::bf16, {rows, dim}},
                        .weight = {device(weight), Dtype::bf16, {dim}},
                        .residual = fused ? TensorView(residual, Dtype::bf16, {rows, dim}) : absent,
                        .eps = 1e-5F});
        std::vector<float> sum = floats(x);
        if (fused) {
          const std::vector<float> old = floats(before);
          for (std::size_t i = 0; i < sum.size(); ++i) {
            sum[i] = bf16_to_f32(f32_to_bf16(sum[i] + old[i]));
          }
          EXPECT_EQ(floats(back<std::uint16_t>(residual, x.size())), sum);
        }
        const std::vector<float> w = floats(weight);
        std::vector<float> want(sum.size());
        cpu_->rms_norm({.out = view(std::span<float>(want), {rows, dim}),
                        .x = view(std::span<const float>(sum), {rows, dim}),
                        .weight = view(std::span<const float>(w), {dim}),
                        .eps = 1e-5F});
        const std::vector<float> got = floats(back<std::uint16_t>(out, x.size()));
        for (std::size_t i = 0; i < got.size(); ++i) {
          // Two roundings to bf16 against none.
          ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * 0x1p-7F + 1e-6F) << "dim " << dim;
        }
      }
    }
  }
}

TEST_F(CudaOpsTest, LinearAgreesWithTheReference) {
  for (const std::int64_t inputs : kDims) {
    for (const std::int64_t outputs : {1, 7, 33, 129}) {
      for (const std::int64_t tokens : {0, 1, 2, 33}) {
        const Bits x = random(tokens * inputs);
        const Bits w = random(outputs * inputs);
        const WeightLayout layout{.format = WeightFormat::bf16, .rows = outputs, .cols = inputs};
        const auto count = static_cast<std::size_t>(tokens * outputs);
        void* out = device(std::vector<float>(count));
        gpu_->linear({.out = {out, Dtype::f32, {tokens, outputs}},
                      .x = {device(x), Dtype::bf16, {tokens, inputs}},
                      .weight = {.layout = layout, .data = device(w)}});
        const std::vector<float> x_floats = floats(x);
        std::vector<float> want(count);
        cpu_->linear({.out = view(std::span<float>(want), {tokens, outputs}),
                      .x = view(std::span<const float>(x_floats), {tokens, inputs}),
                      .weight = {.layout = layout, .data = w.data()}});
        const std::vector<float> got = back<float>(out, count);
        const float tolerance = 1e-6F * static_cast<float>(inputs);
        for (std::size_t i = 0; i < count; ++i) ASSERT_NEAR(got[i], want[i], tolerance);
      }
    }
  }
}

TEST_F(CudaOpsTest, LinearRoundsToBf16AndAddsTheBias) {
  const Bits x = random(3 * 40);
  const Bits w = random(5 * 40);
  const std::vector<float> bias = {1, 2, 3, 4, 5};
  const WeightLayout layout{.format = WeightFormat::bf16, .rows = 5, .cols = 40};
  void* out = device(Bits(15));
  gpu_->linear({.out = {out, Dtype::bf16, {3, 5}},
                .x = {device(x), Dtype::bf16, {3, 40}},
                .weight = {.layout = layout, .data = device(w)},
                .bias = {device(bias), Dtype::f32, {5}}});
  const std::vector<float> x_floats = floats(x);
  std::vector<float> want(15);
  cpu_->linear({.out = view(std::span<float>(want), {3, 5}),
                .x = view(std::span<const float>(x_floats), {3, 40}),
                .weight = {.layout = layout, .data = w.data()},
                .bias = view(std::span<const float>(bias), {5})});
  const std::vector<float> got = floats(back<std::uint16_t>(out, 15));
  for (std::size_t i = 0; i < 15; ++i) {
    EXPECT_NEAR(got[i], want[i], std::abs(want[i]) * 0x1p-8F + 1e-5F);
  }
}

TEST_F(CudaOpsTest, EmbeddingCopiesRows) {
  const Bits table = random(11 * 129);
  const std::vector<std::int32_t> ids = {10, 0, 3, 10};
  void* out = device(Bits(4 * 129));
  gpu_->embedding({.out = {out, Dtype::bf16, {4, 129}},
                   .ids = {device(ids), Dtype::i32, {4}},
                   .table = {.layout = {.format = WeightFormat::bf16, .rows = 11, .cols = 129},
                             .data = device(table)}});
  const Bits got = back<std::uint16_t>(out, 4 * 129);
  for (std::size_t t = 0; t < 4; ++t) {
    EXPECT_TRUE(std::equal(got.begin() + static_cast<std::ptrdiff_t>(t * 129),
                           got.begin() + static_cast<std::ptrdiff_t>((t + 1) * 129),
                           table.begin() + ids[t] * 129));
  }
}

TEST_F(CudaOpsTest, SaysWhenMemoryIsShort) {
  const auto buffer = gpu_->allocate(1ULL << 50U);
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().code, Errc::exhausted);
  EXPECT_TRUE(gpu_->sync().ok());
}

}  // namespace
}  // namespace glm::kernels
