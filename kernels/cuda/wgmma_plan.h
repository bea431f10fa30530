// Sizes of the variant "wgmma" of product.h (product_wgmma.cu), and where things lie in its shared
// memory.
//
// A block works on tiles of some rows of weights (gated: half of them of gate, half of up), 64 for
// each of its warpgroups that multiply, by at most tile_rows rows of activations.
#pragma once

#include <cstdint>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

constexpr int kWgmmaGroupRows = 64;  // of weights, of a warpgroup
// Rows of activations of tiles where groups have rows of their own, few or at most.
constexpr int kWgmmaRowsFew = 48;
constexpr int kWgmmaRowsFewest = 32;  // of some of those
constexpr int kWgmmaRowsMax = 160;
constexpr int kWgmmaBlockRows = 32;            // that results leave together
constexpr unsigned kWgmmaRowBytes = 128;       // of 64 columns of activations
constexpr unsigned kWgmmaScaleBytes = 16;      // of a row of weights in a stage
constexpr int kWgmmaScaleWarps = 3;            // that lay them
constexpr unsigned kWgmmaCopiedBytes = 8;      // of a row of scales that are copied as they lie
constexpr unsigned kWgmmaScaledColumns = 128;  // of a stage of four bits
constexpr unsigned kWgmmaFp8Columns = 64;      // of one of fp8, which has the more bytes
// Results leave through shared memory: as bf16 in turn through two buffers, or as f32 in rows of
// kWgmmaPitch through the memory of both.
constexpr int kWgmmaBuffers = 2;
constexpr unsigned kWgmmaBufferBytes = kWgmmaBlockRows * kWgmmaGroupRows * 2;
constexpr int kWgmmaPitch = kWgmmaGroupRows + 4;
constexpr unsigned kWgmmaResultBytes = kWgmmaBlockRows * kWgmmaPitch * 4;  // of a warpgroup

// Tiles that those who copy may be ahead of those who store results: every one may be of one stage.
constexpr int kWgmmaTileSlots = 16;
constexpr unsigned kWgmmaTileBytes = 16;  // of one, without its rows

// Where outputs are dealt (device/dealt_columns.cuh), a slice has eight of each 32 of 128, those
// that come at 32 places after each other.
constexpr int kWgmmaSliceRows = 32;

// What a row of weights is in a stage.
struct WgmmaStage {
  int depth = 0;               // columns
  unsigned row_bytes = 0;      // of weights
  unsigned element_bytes = 1;  // as the copies see them
  bool scales = false;         // laid by warps
  bool copied = false;         // scales are copied as they lie, for two stages at a time
};

struct WgmmaPlan {
  int groups = 0;  // warpgroups that multiply
  int tile_rows = 0;
  int box_rows = 0;     // of activations, that are copied together
  int fewest_rows = 0;  // likewise, of tiles that have no more
  int row_tiles = 0;    // of a group that has all rows
  int m_blocks = 0;     // tiles of weights of a group
  int steps = 0;        // stages that a tile takes of a block
  int stages = 0;
  bool sliced = false;        // rows of weights come slice by slice (wgmma_stages.cuh)
  bool whole_octets = false;  // of results in bf16 go out at once
  bool whole_fours = false;   // of results in f32
  unsigned stage = 0;         // in bytes
  unsigned weights_at = 0;    // in a stage, where activations come first
  unsigned scales_at = 0;     // likewise
  unsigned copied_at = 0;     // in shared memory: scales of each two stages, if they are copied
  unsigned results_at = 0;    // in shared memory, where stages come first
  unsigned tiles_at = 0;      // what tiles are, and if there are few where their rows belong
  unsigned tile_slot = 0;     // of one
  unsigned barriers_at = 0;
  unsigned total = 0;
  int blocks = 1;  // of a cluster that has a tile and shares out its columns
};

struct WgmmaTile {
  int groups = 0;  // warpgroups that multiply
  int rows = 0;    // of activations
  int blocks = 1;  // of a cluster that shares out its columns
};
// The tile that suits a product.
WgmmaTile wgmma_tile(const Product& a, int multiprocessors);

// Whether scales have eight bytes for every 128 columns, no zeros, and tensor maps.
bool may_copy_scales(const Product& a);

WgmmaPlan wgmma_plan(const Product& a, const WgmmaTile& tile, const WgmmaStage& stage,
                     unsigned shared_bytes);

}  // namespace glm::kernels::cuda
