// Device memory of moe_mlp: one row for each use of an expert by a token, in the order of ids.
#pragma once

#include <cstdint>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

struct MoeWorkspace {
  void* inner = nullptr;            // bf16 [pairs, inner]
  float* outer = nullptr;           // [pairs, hidden]
  std::int32_t* sorted = nullptr;   // [pairs]
  std::int32_t* offsets = nullptr;  // [experts + 1]
  RowTile* tiles = nullptr;         // [tiles]
  std::int32_t* tile_count = nullptr;
};

}  // namespace glm::kernels::cuda
