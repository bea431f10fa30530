// What the variants of product.h share: which rows a block works on, and how results are stored.
#pragma once

#include "kernels/cuda/product.h"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::cuda {

__device__ inline float silu(float x) {
  return x / (1.0F + expf(-x));
}

// The tile of this block: blockIdx.y counts tiles, blockIdx.z groups that all rows belong to.
__device__ inline RowTile block_tile(const Product& a, int tile_rows) {
  if (a.row_group != nullptr) {
    return static_cast<std::int32_t>(blockIdx.y) < *a.tile_count ? a.tiles[blockIdx.y] : RowTile{};
  }
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * tile_rows;
  const std::int64_t left = a.rows - first;
  return {.group = static_cast<std::int32_t>(blockIdx.z),
          .first = static_cast<std::int32_t>(first),
          .count = static_cast<std::int32_t>(left < tile_rows ? left : tile_rows)};
}

__device__ inline std::int64_t tile_row(const Product& a, const RowTile& tile, int n) {
  const std::int32_t at = tile.first + n;
  return a.row_group != nullptr ? a.sorted[at] : at;
}

__device__ inline const __nv_bfloat16* x_row(const Product& a, std::int64_t row,
                                             std::int64_t group) {
  return static_cast<const __nv_bfloat16*>(a.x) + row / a.x_divisor * a.x_stride +
         group * a.x_group_stride;
}

// `value` is y, after the gate if there is one.
__device__ inline void put(const Product& a, std::int64_t row, std::int64_t group,
                           std::int64_t output, float value) {
  if (a.factor != nullptr) value *= a.factor[row];
  if (a.bias != nullptr) value += a.bias[output];
  const std::int64_t at = row * a.out_stride + group * a.out_group_stride + output;
  if (a.out_f32) {
    static_cast<float*>(a.out)[at] = value;
  } else {
    device::store(static_cast<__nv_bfloat16*>(a.out) + at, value);
  }
}

inline dim3 product_grid(const Product& a, std::int64_t outputs_per_block, std::int64_t tile_rows) {
  const std::int64_t tiles =
      a.row_group != nullptr ? a.tiles_max : (a.rows + tile_rows - 1) / tile_rows;
  return {static_cast<unsigned>((a.outputs + outputs_per_block - 1) / outputs_per_block),
          static_cast<unsigned>(tiles),
          static_cast<unsigned>(a.row_group != nullptr ? 1 : a.groups)};
}

}  // namespace glm::kernels::cuda
