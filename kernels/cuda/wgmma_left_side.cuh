// The left side of products of product_wgmma.cu, and where what it is decoded from lies in a stage.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace glm::kernels::cuda {

// Twice sixteen columns.
using LeftSide = std::uint32_t[2][4];

// Of a stage thirty-two columns, or all, of a lane's two rows, which are the same of eight.
struct StagedWeights {
  std::uint32_t data;        // shared addresses of the first row, in a stage
  std::uint32_t data_apart;  // from there to the other row
  std::uint32_t scales;      // of each thirty-two columns a word, or what is copied for them
  std::uint32_t scales_apart;
  unsigned at;  // which thirty-two columns of the stage
};

__device__ inline __nv_bfloat16 low_half(std::uint32_t word) {
  return __ushort_as_bfloat16(static_cast<std::uint16_t>(word));
}
__device__ inline __nv_bfloat16 high_half(std::uint32_t word) {
  return __ushort_as_bfloat16(static_cast<std::uint16_t>(word >> 16U));
}

// Of eight columns in a word, the two that lane l of a row holds.
__device__ inline std::uint32_t own_byte(std::uint32_t word, int lane) {
  return __byte_perm(word, 0, static_cast<std::uint32_t>(lane % 4) | 0x4440U);
}
// Those, four bits each, at bits 0 and 16. The product does on one pipe what shifts would on the
// other one, which is busy.
__device__ inline std::uint32_t own_columns(std::uint32_t word, int lane) {
  return own_byte(word, lane) * 0x1001U;
}

}  // namespace glm::kernels::cuda
