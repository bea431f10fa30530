// How product_wgmma.cu decodes weights of fp8 and bf16 in a stage into the left side of products;
// those of four bits: wgmma_four_bits.cuh.
#pragma once

#include "kernels/cuda/shared_loads.cuh"
#include "kernels/cuda/wgmma_four_bits.cuh"
#include "kernels/cuda/wgmma_left_side.cuh"
#include "kernels/cuda/wgmma_scales.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

// Rows of 64 bytes and columns, their chunks exchanged by the copy. A word of scales has what a
// column's bits as a bf16 are multiplied with, twice.
struct WgmmaFp8 {
  static constexpr bool kScales = true;
  static constexpr bool kCopied = false;
  static constexpr WgmmaScaled kScaled = WgmmaScaled::fp8;
  static constexpr int kDepth = kWgmmaFp8Columns;
  static constexpr unsigned kRowBytes = 64;
  static constexpr unsigned kElementBytes = 1;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  static constexpr bool kWholeStages = false;
  // Of every eight columns of both rows the four among which this lane's two are.
  struct Stored {
    std::uint32_t words[2][4];
    std::uint32_t scales[2];
  };
  __device__ static Stored read(const StagedWeights& from, int lane) {
    const auto own_chunks = static_cast<unsigned>(lane) / 8;
    const unsigned own_word = static_cast<unsigned>(lane) % 4 / 2 * 4;
    Stored own;
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const std::uint32_t row = from.data + lower * from.data_apart;
#pragma unroll
      for (unsigned eight = 0; eight < 4; ++eight) {
        const unsigned chunk = (2 * from.at + eight / 2) ^ own_chunks;
        own.words[lower][eight] = shared_word(row + chunk * 16 + eight % 2 * 8 + own_word);
      }
      own.scales[lower] = shared_word(from.scales + lower * from.scales_apart + 4 * from.at);
    }
    return own;
  }
  __device__ static void decode(const Stored& own, unsigned /*at*/, int lane, LeftSide& a) {
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const auto factors = *reinterpret_cast<const __nv_bfloat162*>(&own.scales[lower]);
      const auto pair = [&](std::uint32_t word) {
        return device::own_e4m3_pair(word, static_cast<unsigned>(lane), factors);
      };
      a[0][lower] = pair(own.words[lower][0]);
      a[0][2 + lower] = pair(own.words[lower][1]);
      a[1][lower] = pair(own.words[lower][2]);
      a[1][2 + lower] = pair(own.words[lower][3]);
    }
  }
};

// Rows of 128 bytes, 64 columns.
struct WgmmaBf16 {
  static constexpr bool kScales = false;
  static constexpr bool kCopied = false;
  static constexpr int kDepth = 64;
  static constexpr unsigned kRowBytes = 128;
  static constexpr unsigned kElementBytes = 2;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  static constexpr bool kWholeStages = false;
  using Stored = StagedWeights;
  __device__ static Stored read(const StagedWeights& from, int /*lane*/) { return from; }
  __device__ static void decode(const Stored& from, unsigned /*at*/, int lane, LeftSide& a) {
    // A lane addresses row l % 16 here, and columns eight on in the upper half of the warp.
    const unsigned row = static_cast<unsigned>(lane) % 8;
    const std::uint32_t first = from.data - static_cast<unsigned>(lane) / 4 * kRowBytes;
    const std::uint32_t own =
        first + row * kRowBytes + static_cast<unsigned>(lane) / 8 % 2 * from.data_apart;
#pragma unroll
    for (unsigned i = 0; i < 2; ++i) {
      const unsigned chunk = 4 * from.at + 2 * i + static_cast<unsigned>(lane) / 16;
      device::load_matrices(a[i], own + (chunk ^ row) * 16);
    }
  }
};

}  // namespace glm::kernels::cuda
