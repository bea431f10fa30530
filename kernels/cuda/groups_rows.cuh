// Rows of activations of product_groups.cu, multiplied with a power of two that their largest
// number decides about.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/product.h"
#include "kernels/device/fp4_half.cuh"

namespace glm::kernels::cuda {

// Of four bits: where an octet of row `place` of a tile is among the activations.
__device__ inline uint4& octet_of_row(std::uint8_t* activations, int place, int octet) {
  return reinterpret_cast<uint4*>(activations)[octet / 4 * 32 + 4 * place + octet % 4];
}

// By a whole warp: `put(number, octet, factor)` of each eight numbers of a row. Scale is that of
// the row's largest_bits(); what a warp cannot hold in registers is read twice. Between reading and
// putting, `read` is called.
template <class Scale, class Read, class Put>
__device__ inline Scale load_scaled_row(const Product& a, const uint4* x, const Read& read,
                                        const Put& put) {
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
  for (const uint4& octet : held) most = device::largest(octet, most);
#pragma unroll 1
  for (int octet = lane + kHeld * device::kWarpThreads; octet < octets;
       octet += device::kWarpThreads) {
    most = device::largest(__ldcg(x + octet), most);
  }
  const Scale scale = Scale::of(__reduce_max_sync(kFullWarp, device::largest_bits(most)));
  read();
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int octet = lane + i * device::kWarpThreads;
    if (octet < octets) put(octet, held[i], scale.factor());
  }
#pragma unroll 1
  for (int octet = lane + kHeld * device::kWarpThreads; octet < octets;
       octet += device::kWarpThreads) {
    put(octet, __ldcg(x + octet), scale.factor());
  }
  return scale;
}

}  // namespace glm::kernels::cuda
