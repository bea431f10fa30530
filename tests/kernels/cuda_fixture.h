// A GPU for a test, memory on it, and fresh random numbers: the seed is printed, and
// --gtest_random_seed=N brings it back.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/cuda/cuda_ops.h"
#include "kernels/device_info.h"
#include "kernels/ops.h"

namespace glm::kernels {

using Bits = std::vector<std::uint16_t>;
using Floats = std::vector<float>;

inline Floats floats(const Bits& bits) {
  Floats values;
  values.reserve(bits.size());
  for (const std::uint16_t b : bits) values.push_back(bf16_to_f32(b));
  return values;
}

class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto devices = probe_devices();
    ASSERT_TRUE(devices.ok()) << devices.error().message;
    if (devices->empty()) GTEST_SKIP() << "no GPU";
    gpu_ = open("");
    int seed = testing::UnitTest::GetInstance()->random_seed();
    if (seed == 0) seed = static_cast<int>(std::random_device()() % 99999) + 1;
    std::printf("seed %d\n", seed);
    engine_.seed(static_cast<unsigned>(seed));
  }

  static std::unique_ptr<Ops> open(std::string variant) {
    auto opened = cuda::open_device({.device_index = 0, .variant = std::move(variant)});
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return std::move(opened).value();
  }

  // Memory of the device with these values in it; lives until forget().
  template <typename T>
  void* device(const std::vector<T>& values) {
    auto buffer = gpu_->allocate(values.size() * sizeof(T));
    EXPECT_TRUE(buffer.ok()) << buffer.error().message;
    gpu_->upload(buffer->data(), std::as_bytes(std::span(values)));
    EXPECT_TRUE(gpu_->sync().ok());
    buffers_.push_back(std::move(buffer).value());
    return buffers_.back().data();
  }
  // Every bit set: NaN in all dtypes of activations.
  void* poisoned(std::size_t bytes) { return device(std::vector<std::uint8_t>(bytes, 0xFF)); }
  void forget() { buffers_.clear(); }

  template <typename T>
  std::vector<T> back(Ops& ops, const void* memory, std::size_t count) {
    std::vector<T> values(count);
    ops.download(std::as_writable_bytes(std::span(values)), memory);
    const Status status = ops.sync();
    EXPECT_TRUE(status.ok()) << status.error().message;
    return values;
  }
  template <typename T>
  std::vector<T> back(const void* memory, std::size_t count) {
    return back<T>(*gpu_, memory, count);
  }

  float unit() { return static_cast<float>(engine_() >> 8U) * 0x1p-23F - 1.0F; }
  Bits random(std::int64_t count, float spread = 1.0F) {
    Bits values;
    for (std::int64_t i = 0; i < count; ++i) values.push_back(f32_to_bf16(unit() * spread));
    return values;
  }
  Floats random_floats(std::int64_t count, float spread = 1.0F) {
    Floats values;
    for (std::int64_t i = 0; i < count; ++i) values.push_back(unit() * spread);
    return values;
  }

  std::mt19937 engine_;  // NOLINT: seeded in SetUp
  std::unique_ptr<Ops> gpu_;
  std::vector<Buffer> buffers_;
};

}  // namespace glm::kernels
