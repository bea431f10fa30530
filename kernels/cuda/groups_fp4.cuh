// nvfp4 in product_groups.cu: a scale every sixteen columns, which two lanes of four have of every
// word; so it is multiplied into the weights.
//
// Arithmetic is what takes the time, and of the decodings this one has the fewest instructions:
// codes become e4m3, four at a time, the hardware turns those into fp16, as it does the scales, and
// their products are exact there. Rows of activations are fp16 as well, each times a power of two
// that brings its largest number to the top of the range: what is less than 2^-39 of that is lost.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/groups_math.cuh"
#include "kernels/device/fp4.cuh"

namespace glm::kernels::cuda {

struct GroupsFp4 {
  static constexpr bool kPlainRows = false;
  __device__ static device::Fp4Unit unit(const device::Weight& w) {
    return device::Fp4Unit(w, kLeftOut / kLeftOutInBf16);
  }
  // What the sums of a row are to be multiplied with.
  __device__ static float row_unit(const float* begins, int place) { return begins[place]; }

  // By a whole warp.
  __device__ static void load_row(const Product& a, const uint4* x, uint4* activations,
                                  float* row_unit);

  // What a lane has of a chunk.
  struct Held {
    std::uint32_t words[kChunkGroups][4];
    __half2 scales[2][2][kChunkGroups / 2];
  };
  __device__ static void load(std::uint32_t stage, const GroupsLane& at, Held& held) {
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) load_matrices(held.words[g], stage + at.data[g]);
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t from = stage + at.scales + half * kGroupsHalfScales;
      load_scales(from, held.scales[half][0]);
      load_scales(from + kGroupsHalfScales / 2, held.scales[half][1]);
    }
  }

  __device__ static void multiply(const Held& held, const uint4* x, const float4* /*begin*/,
                                  float (&sums)[2][4]) {
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) {
      const uint4 four = x[g * 32];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t pairs[2][4];  // of rows l / 4 and l / 4 + 8
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          const __half2 two = held.scales[half][row][g / 2];
          decode(held.words[g][2 * half + row], g % 2 == 0 ? __low2half2(two) : __high2half2(two),
                 pairs[row]);
        }
        const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
        const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
        multiply_tile(sums[half], front, four.x, four.y);
        multiply_tile(sums[half], back, four.z, four.w);
      }
    }
  }

 private:
  static constexpr float kLeftOut = 0x1p6F;  // of e2m1 as e4m3
  static constexpr float kLeftOutInBf16 = 0x1p7F;
  static constexpr int kTop = 15;  // the largest exponent of fp16

  // The lower or the upper two of four numbers in e4m3.
  template <int kUpper>
  __device__ static __half2 two_of(std::uint32_t four) {
    std::uint32_t two = 0;
    if constexpr (kUpper == 0) {
      asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\ncvt.rn.f16x2.e4m3x2 %0, low;\n}\n"
          : "=r"(two)
          : "r"(four));
    } else {
      asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\ncvt.rn.f16x2.e4m3x2 %0, high;\n}\n"
          : "=r"(two)
          : "r"(four));
    }
    return *reinterpret_cast<const __half2*>(&two);
  }

  // Of one row, those of this lane's words, of the eight of a chunk.
  __device__ static void load_scales(std::uint32_t from, __half2 (&scales)[kChunkGroups / 2]) {
    const uint2 bytes = load_eight_bytes(from);
    const bool second = lane_index() % 4 >= 2;
    const std::uint32_t own = __byte_perm(bytes.x, bytes.y, second ? 0x7531 : 0x6420);
    scales[0] = two_of<0>(own);
    scales[1] = two_of<1>(own);
  }

  // Columns 0 and 2 of the eight in a word, 4 and 6, 1 and 3, 5 and 7.
  __device__ static void decode(std::uint32_t word, __half2 scale, std::uint32_t (&pairs)[4]) {
    // s00eem00 of seem.
    const std::uint32_t even = (word << 4 & 0x80808080U) | (word << 2 & 0x1C1C1C1CU);
    const std::uint32_t odd = (word & 0x80808080U) | (word >> 2 & 0x1C1C1C1CU);
    const __half2 values[4] = {two_of<0>(even), two_of<1>(even), two_of<0>(odd), two_of<1>(odd)};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __half2 value = __hmul2(values[i], scale);
      pairs[i] = *reinterpret_cast<const std::uint32_t*>(&value);
    }
  }

  __device__ static void multiply_tile(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                       std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }

  // The largest magnitudes of two columns each.
  __device__ static __nv_bfloat162 largest(const __nv_bfloat162& so_far, const uint4& octet) {
    const auto pair = [](std::uint32_t word) {
      return __habs2(*reinterpret_cast<const __nv_bfloat162*>(&word));
    };
    return __hmax2(__hmax2(so_far, __hmax2(pair(octet.x), pair(octet.y))),
                   __hmax2(pair(octet.z), pair(octet.w)));
  }
  // Two columns in fp16.
  __device__ static std::uint32_t scaled(float first, float second, float scale) {
    const __half2 two = __floats2half2_rn(first * scale, second * scale);
    return *reinterpret_cast<const std::uint32_t*>(&two);
  }
  // Eight, in the order of decode().
  __device__ static uint4 scaled(const uint4& x, float scale) {
    using device::bf16_high;
    using device::bf16_low;
    return {scaled(bf16_low(x.x), bf16_low(x.y), scale),
            scaled(bf16_low(x.z), bf16_low(x.w), scale),
            scaled(bf16_high(x.x), bf16_high(x.y), scale),
            scaled(bf16_high(x.z), bf16_high(x.w), scale)};
  }
};

__device__ inline void GroupsFp4::load_row(const Product& a, const uint4* x, uint4* activations,
                                           float* row_unit) {
  constexpr int kHeld = 8;  // octets of a lane
  const int lane = lane_index();
  const int octets = static_cast<int>(a.inputs) / 8;
  uint4 held[kHeld] = {};
  __nv_bfloat162 most = __float2bfloat162_rn(0);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int octet = lane + i * device::kWarpThreads;
    if (octet < octets) held[i] = __ldcg(x + octet);
  }
#pragma unroll
  for (const uint4& octet : held) most = largest(most, octet);
#pragma unroll 1
  for (int octet = lane + kHeld * device::kWarpThreads; octet < octets;
       octet += device::kWarpThreads) {
    most = largest(most, __ldcg(x + octet));
  }
  // Bits of magnitudes are in the order of magnitudes.
  const std::uint32_t bits = *reinterpret_cast<const std::uint32_t*>(&most);
  const std::uint32_t top = __reduce_max_sync(kFullWarp, max(bits & 0xFFFFU, bits >> 16U));
  constexpr int kBias = 127;
  const int exponent = max(static_cast<int>(top >> 7U) - kBias, kTop + 1 - kBias);
  const auto power = [](int x) { return __uint_as_float(static_cast<unsigned>(x + kBias) << 23U); };
  const float scale = power(kTop - exponent);
  if (lane == 0) *row_unit = power(exponent - kTop);
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int octet = lane + i * device::kWarpThreads;
    if (octet < octets) activations[octet / 4 * 32 + octet % 4] = scaled(held[i], scale);
  }
#pragma unroll 1
  for (int octet = lane + kHeld * device::kWarpThreads; octet < octets;
       octet += device::kWarpThreads) {
    activations[octet / 4 * 32 + octet % 4] = scaled(__ldcg(x + octet), scale);
  }
}

}  // namespace glm::kernels::cuda
