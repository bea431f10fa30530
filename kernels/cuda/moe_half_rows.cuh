// Activations in fp16 for the first halves of moe_layer.cu, behind a front: a row of its sums times
// the norm's weights and a power of two. That is found without looking at the row: no number of it
// is larger than the root of its squares' sum, which the front has left.
#pragma once

#include "kernels/cuda/moe_workspace.h"
#include "kernels/device/fp4_half.cuh"

namespace glm::kernels::cuda {

// `most`: largest_bits() of all of the norm's weights.
__device__ inline device::HalfScale half_row_scale(MoeScore squares, std::uint32_t most) {
  // What blocks of the front lose when they round their parts, and more.
  constexpr float kRounding = 0x1p-12F;
  const float sum = __ll2float_rn(static_cast<long long>(squares)) * kMoeSquaresUnit + kRounding;
  constexpr int kBias = 127;
  const int of_sum = static_cast<int>(__float_as_uint(sum) >> 23U) - kBias;
  const int of_row = (of_sum + 2) >> 1;  // 2^of_row is more than the root
  const int of_norm = static_cast<int>(most >> 7U) - kBias;
  return device::HalfScale::below(of_row + of_norm + 1);  // one more for what the sum is off
}

}  // namespace glm::kernels::cuda
