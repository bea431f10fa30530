// Device memory of moe_mlp and moe_layer: one row for each use of an expert by a token, in the
// order of ids.
#pragma once

#include <cstdint>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

// How far the blocks of moe_layer.cu are. All zero between launches.
struct MoeProgress {
  std::uint32_t routed;  // experts whose logits are there
  std::uint32_t halves;  // blocks that are through with the first halves
  std::uint32_t passed;  // blocks that know it of all
};

struct MoeWorkspace {
  void* inner = nullptr;            // bf16 [pairs, inner]
  float* outer = nullptr;           // [pairs, hidden]
  void* gathered = nullptr;         // bf16 [pairs, hidden], in the memory of outer
  std::int32_t* sorted = nullptr;   // [pairs]
  std::int32_t* offsets = nullptr;  // [experts + 1]
  RowTile* tiles = nullptr;         // [tiles]
  std::int32_t* tile_count = nullptr;
  MoeProgress* progress = nullptr;
};

}  // namespace glm::kernels::cuda
