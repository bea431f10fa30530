// Sizes of the variant "wgmma" of product.h (product_wgmma.cu), and where things lie in its shared
// memory.
//
// A block works on tiles of kWgmmaOutputs rows of weights (gated: half as many of gate and of up)
// by at most tile_rows rows of activations. A stage holds kWgmmaDepth columns of both.
#pragma once

#include <cstdint>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

constexpr int kWgmmaGroups = 2;      // warpgroups that multiply
constexpr int kWgmmaGroupRows = 64;  // of weights
constexpr int kWgmmaOutputs = kWgmmaGroups * kWgmmaGroupRows;
constexpr int kWgmmaDepth = 64;
constexpr int kWgmmaRowsMax = 192;   // of activations in a tile
constexpr int kWgmmaBlockRows = 64;  // that results leave together
// Results leave through shared memory: as bf16 in turn through two buffers, or as f32 in rows of
// kWgmmaPitch through the memory of both.
constexpr int kWgmmaBuffers = 2;
constexpr unsigned kWgmmaBufferBytes = kWgmmaBlockRows * kWgmmaGroupRows * 2;
constexpr int kWgmmaPitch = kWgmmaGroupRows + 4;
constexpr unsigned kWgmmaResultBytes = kWgmmaBlockRows * kWgmmaPitch * 4;  // of a warpgroup

struct WgmmaPlan {
  int tile_rows = 0;
  int row_tiles = 0;  // of a group that has all rows
  int m_blocks = 0;   // tiles of weights of a group
  int stages = 0;
  int lag = 0;                // stages that are being filled while the next is begun
  bool whole_octets = false;  // of results in bf16 go out at once
  bool whole_fours = false;   // of results in f32
  unsigned stage = 0;         // in bytes
  unsigned weights_at = 0;    // in a stage, where activations come first
  unsigned scales_at = 0;
  unsigned results_at = 0;  // in shared memory, where stages come first
  unsigned barriers_at = 0;
  unsigned total = 0;
};

// `row_bytes`: of kWgmmaDepth columns of a row of weights.
WgmmaPlan wgmma_plan(const Product& a, unsigned row_bytes, int multiprocessors,
                     unsigned shared_bytes);

// Rows of activations in a tile that suit a product.
int wgmma_rows(const Product& a, int multiprocessors);

}  // namespace glm::kernels::cuda
