// Rows of activations of product_groups.cu, multiplied with a power of two that their largest
// number decides about.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/product.h"
#include "kernels/device/fp4_half.cuh"

namespace glm::kernels::cuda {

// By a whole warp: `form(octet, factor)` of each eight numbers of a row to its place among the
// activations of row `place` of a tile. Scale is that of the row's largest_bits(); what a warp
// cannot hold in registers is read twice. Between reading and forming, `read` is called.
template <class Scale, class Read, class Form>
__device__ inline Scale load_scaled_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                        int place, const Read& read, const Form& form) {
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
  uint4* own = reinterpret_cast<uint4*>(activations) + 4 * place;
  const auto put = [&](int octet, const uint4& numbers) {
    own[octet / 4 * 32 + octet % 4] = form(numbers, scale.factor());
  };
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int octet = lane + i * device::kWarpThreads;
    if (octet < octets) put(octet, held[i]);
  }
#pragma unroll 1
  for (int octet = lane + kHeld * device::kWarpThreads; octet < octets;
       octet += device::kWarpThreads) {
    put(octet, __ldcg(x + octet));
  }
  return scale;
}

}  // namespace glm::kernels::cuda
