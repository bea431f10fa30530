// How product_wgmma.cu decodes the weights of a stage into the left side of products: thirty-two
// columns of the two rows that a lane holds, in their order. A lane needs columns 2(l%4), + 1 of
// every eight: of four bits, one byte of every word.
#pragma once

#include "kernels/cuda/shared_loads.cuh"
#include "kernels/cuda/wgmma_scales.cuh"
#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

// Twice sixteen columns.
using LeftSide = std::uint32_t[2][4];

// Thirty-two columns of a lane's two rows, which are the same of eight.
struct StagedWeights {
  std::uint32_t data;        // shared addresses of the first row, in a stage
  std::uint32_t data_apart;  // from there to the other row
  std::uint32_t scales;      // four words a row, one for each thirty-two columns
  std::uint32_t scales_apart;
  unsigned at;  // which thirty-two columns of the stage
};

__device__ inline __nv_bfloat16 low_half(std::uint32_t word) {
  return __ushort_as_bfloat16(static_cast<std::uint16_t>(word));
}
__device__ inline __nv_bfloat16 high_half(std::uint32_t word) {
  return __ushort_as_bfloat16(static_cast<std::uint16_t>(word >> 16U));
}

// Of both rows, as they lie in a stage: read before they are needed.
struct FourBitWords {
  uint4 words[2];
  std::uint32_t scales[2];
};
// Rows of 64 bytes, their chunks exchanged by the copy.
__device__ __forceinline__ FourBitWords read_four_bits(const StagedWeights& from, int lane) {
  const unsigned chunk = (from.at ^ (static_cast<unsigned>(lane) / 8)) * 16;
  FourBitWords own;
#pragma unroll
  for (unsigned lower = 0; lower < 2; ++lower) {
    own.words[lower] = shared_octets(from.data + lower * from.data_apart + chunk);
    own.scales[lower] = shared_word(from.scales + lower * from.scales_apart + 4 * from.at);
  }
  return own;
}

// Of eight columns in a word, the two that lane l of a row holds: at bits 0 and 16. The product
// does on one pipe what shifts would on the other one, which is busy.
__device__ inline std::uint32_t own_columns(std::uint32_t word, int lane) {
  const std::uint32_t byte = __byte_perm(word, 0, static_cast<std::uint32_t>(lane % 4) | 0x4440U);
  return byte * 0x1001U;
}

// A word of scales has the scale and, as a bf16 number, 128 and the zero.
struct WgmmaInt4 {
  static constexpr bool kScales = true;
  static constexpr WgmmaScaled kScaled = WgmmaScaled::int4;
  static constexpr int kDepth = kWgmmaScaledColumns;
  static constexpr unsigned kRowBytes = 64;     // of kDepth columns
  static constexpr unsigned kElementBytes = 1;  // of the map
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  using Stored = FourBitWords;
  __device__ static Stored read(const StagedWeights& from, int lane) {
    return read_four_bits(from, lane);
  }
  __device__ static void decode(const Stored& own, int lane, LeftSide& a) {
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const uint4& words = own.words[lower];
      const std::uint32_t group = own.scales[lower];
      const __nv_bfloat16 scale = low_half(group);
      const __nv_bfloat16 zero = high_half(group);
      const auto pair = [&](std::uint32_t word) {
        return device::int4_pair(own_columns(word, lane), 0, scale, zero);
      };
      a[0][lower] = pair(words.x);
      a[0][2 + lower] = pair(words.y);
      a[1][lower] = pair(words.z);
      a[1][2 + lower] = pair(words.w);
    }
  }
};

// Scales in f16: a word has the scale and, as an f16 number, 1024 and the zero. Weights are f16
// numbers first, as the reference has them.
struct WgmmaInt4Half {
  static constexpr bool kScales = true;
  static constexpr WgmmaScaled kScaled = WgmmaScaled::int4_half;
  static constexpr int kDepth = kWgmmaScaledColumns;
  static constexpr unsigned kRowBytes = 64;
  static constexpr unsigned kElementBytes = 1;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  using Stored = FourBitWords;
  __device__ static Stored read(const StagedWeights& from, int lane) {
    return read_four_bits(from, lane);
  }
  __device__ static void decode(const Stored& own, int lane, LeftSide& a) {
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const uint4& words = own.words[lower];
      const auto both = *reinterpret_cast<const __half2*>(&own.scales[lower]);
      const __half2 scale = __low2half2(both);
      const __half2 zero = __high2half2(both);
      const auto pair = [&](std::uint32_t word) {
        std::uint32_t fields = 0;
        asm("lop3.b32 %0, %1, 0x000F000F, 0x64006400, 0xEA;"
            : "=r"(fields)
            : "r"(own_columns(word, lane)));
        const __half2 code = __hsub2(*reinterpret_cast<const __half2*>(&fields), zero);
        const float2 value = __half22float2(__hmul2(code, scale));
        return device::bf16_pair(value.x, value.y);
      };
      a[0][lower] = pair(words.x);
      a[0][2 + lower] = pair(words.y);
      a[1][lower] = pair(words.z);
      a[1][2 + lower] = pair(words.w);
    }
  }
};

// A word of scales has that of the first sixteen columns and that of the others, as bf16.
struct WgmmaFp4 {
  static constexpr bool kScales = true;
  static constexpr WgmmaScaled kScaled = WgmmaScaled::fp4;
  static constexpr int kDepth = kWgmmaScaledColumns;
  static constexpr unsigned kRowBytes = 64;
  static constexpr unsigned kElementBytes = 1;
  __device__ static device::Fp4Unit unit(const device::Weight& w) { return device::Fp4Unit(w); }

  using Stored = FourBitWords;
  __device__ static Stored read(const StagedWeights& from, int lane) {
    return read_four_bits(from, lane);
  }
  __device__ static void decode(const Stored& own, int lane, LeftSide& a) {
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const uint4& words = own.words[lower];
      const std::uint32_t scales = own.scales[lower];
      const __nv_bfloat16 first = low_half(scales);
      const __nv_bfloat16 second = high_half(scales);
      const auto pair = [&](std::uint32_t word, __nv_bfloat16 scale) {
        return device::fp4_pair(own_columns(word, lane), 0, scale);
      };
      a[0][lower] = pair(words.x, first);
      a[0][2 + lower] = pair(words.y, first);
      a[1][lower] = pair(words.z, second);
      a[1][2 + lower] = pair(words.w, second);
    }
  }
};

// Rows of 64 bytes and columns, their chunks exchanged by the copy. A word of scales has what a
// column's bits as a bf16 are multiplied with, twice.
struct WgmmaFp8 {
  static constexpr bool kScales = true;
  static constexpr WgmmaScaled kScaled = WgmmaScaled::fp8;
  static constexpr int kDepth = kWgmmaFp8Columns;
  static constexpr unsigned kRowBytes = 64;
  static constexpr unsigned kElementBytes = 1;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

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
  __device__ static void decode(const Stored& own, int lane, LeftSide& a) {
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
  static constexpr int kDepth = 64;
  static constexpr unsigned kRowBytes = 128;
  static constexpr unsigned kElementBytes = 2;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  using Stored = StagedWeights;
  __device__ static Stored read(const StagedWeights& from, int /*lane*/) { return from; }
  __device__ static void decode(const Stored& from, int lane, LeftSide& a) {
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
