// Rows of tokens in the order of the experts they go to, for products that read them so.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

struct MoeGather {
  const std::int32_t* ids = nullptr;  // [pairs] experts, `chosen` of a token after each other
  const void* x = nullptr;            // bf16 [pairs / chosen, hidden]
  std::int64_t x_stride = 0;          // elements; rows are multiples of 16 bytes
  std::int32_t hidden = 0;
  std::int32_t pairs = 0;
  std::int32_t chosen = 0;
  std::int32_t experts = 0;
  std::int32_t tile_rows = 0;      // at most; the tiles of an expert have about as many each
  bool dealt = false;              // columns of `out` are (device/dealt_columns.cuh): whole 128s
  void* out = nullptr;             // bf16 [pairs, hidden]
  std::int32_t* sorted = nullptr;  // [pairs] by expert, and in their order
  RowTile* tiles = nullptr;
  bool ids_in_fours = false;  // set by the launch
  std::int32_t* tile_count = nullptr;
};
cudaError_t launch_moe_gather(MoeGather a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
