// Where the results of a lane's two rows of a tile of activations go.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::cuda {

// The same for all slabs of an entry.
struct TileOut {
  std::uint8_t* to[2];  // null: no such row
  float factor[2];

  TileOut() = default;
  __device__ TileOut(const Product& a, const std::int32_t* rows, int count) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int n = 2 * (lane_index() % 4) + e;
      to[e] = nullptr;
      factor[e] = 1;
      if (n >= count) continue;
      const std::int64_t row = rows[n];
      to[e] = static_cast<std::uint8_t*>(a.out) + row * a.out_stride * (a.out_f32 ? 4 : 2);
      if (a.factor != nullptr) factor[e] = a.factor[row];
    }
  }
  __device__ void put(const Product& a, int e, int output, float value) const {
    if (a.bias != nullptr) value += a.bias[output];
    if (a.out_f32) {
      reinterpret_cast<float*>(to[e])[output] = value;
    } else {
      device::store(reinterpret_cast<__nv_bfloat16*>(to[e]) + output, value);
    }
  }
};

}  // namespace glm::kernels::cuda
