// What rows that are to be normed are multiplied with when they have been (RowSquares, product.h).
#pragma once

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

// Of a row whose squares are in four parts.
__device__ inline float norm_factor(const RowSquares& squares, const float4& parts,
                                    std::int64_t columns) {
  const float sum = (parts.x + parts.y) + (parts.z + parts.w);
  return rsqrtf(sum / static_cast<float>(columns) + squares.eps);
}

}  // namespace glm::kernels::cuda
