// Eight bf16 numbers of a row, sixteen bytes, as one thread holds them.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "kernels/device/numbers.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::device {

constexpr int kOctet = 8;

inline bool octets_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(uint4) == 0;
}
// Threads of whole warps for a row of so many columns.
__host__ __device__ inline unsigned octet_threads(int columns) {
  const unsigned octets = static_cast<unsigned>((columns + kOctet - 1) / kOctet);
  return (octets + kWarpThreads - 1) / kWarpThreads * kWarpThreads;
}

__device__ inline uint4 read_octet(const __nv_bfloat16* from) {
  return *reinterpret_cast<const uint4*>(from);
}
__device__ inline void write_octet(__nv_bfloat16* to, const uint4& octet) {
  *reinterpret_cast<uint4*>(to) = octet;
}

__device__ inline float octet_at(const uint4& octet, int i) {
  const std::uint32_t word = i < 2 ? octet.x : i < 4 ? octet.y : i < 6 ? octet.z : octet.w;
  return __uint_as_float(i % 2 == 0 ? word << 16U : word & 0xFFFF0000U);
}
template <typename Value>
__device__ uint4 octet_of(const Value& value) {
  std::uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(value(2 * i), value(2 * i + 1));
    words[i] = *reinterpret_cast<const std::uint32_t*>(&pair);
  }
  return {words[0], words[1], words[2], words[3]};
}

__device__ inline uint4 octet_sum(const uint4& a, const uint4& b) {
  return octet_of([&](int i) { return octet_at(a, i) + octet_at(b, i); });
}
__device__ inline uint4 octet_product(const uint4& a, const uint4& b) {
  return octet_of([&](int i) { return octet_at(a, i) * octet_at(b, i); });
}
__device__ inline float octet_squares(const uint4& a) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kOctet; ++i) sum = __fmaf_rn(octet_at(a, i), octet_at(a, i), sum);
  return sum;
}
// As kernels/ops/rms_norm.h: rounded before the weight as well as after it.
__device__ inline uint4 octet_normed(const uint4& x, const uint4& weight, float scale) {
  return octet_of(
      [&](int i) { return octet_at(weight, i) * rounded<__nv_bfloat16>(octet_at(x, i) * scale); });
}

}  // namespace glm::kernels::device
