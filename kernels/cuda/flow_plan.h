// What a block of product_flow.cu has to do, and where things lie in its shared memory.
//
// A tile is up to 256 rows of weights; gated, sixteen are eight of gate and eight of up. All blocks
// have as many whole tiles, and what is left is cut into equal, lower ones: all multiprocessors
// then read as much. Of few outputs all have one low tile, and where it would be too low, columns
// are cut into parts.
#pragma once

#include <cuda.h>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

constexpr int kFlowGroupRows = 64;  // of weights, for one warpgroup
constexpr int kFlowTileRows = 256;
constexpr int kFlowPartRows = 128;         // of a tile whose columns are in parts
constexpr int kFlowGatedRows = 16;         // half of them of gate
constexpr int kFlowDepth = 64;             // columns of a box of activations
constexpr unsigned kFlowRowBytes = 128;    // of a row in a stage: of weights, or in a box
constexpr int kFlowRowsMax = 64;           // of activations
constexpr unsigned kFlowAlignment = 1024;  // of stages
static_assert(kFlowPartRows * kFlowRowsMax <= kSplitBlockSums);

struct FlowPlan {
  int blocks;
  int whole_tiles;    // of every block
  int whole_outputs;  // of such a tile
  int rest_first;     // output
  int rest_blocks;    // those with numbers below this have one
  int rest_outputs;   // of a tile of the rest
  int rest_rows;      // of weights; a multiple of 8
  int parts;          // of the columns; with whole tiles there is one
  int steps;          // stages that the columns take
  int stages;
  bool up_first;     // its address is below the gate's
  unsigned stage;    // bytes
  unsigned rows_at;  // of activations, in a stage
  unsigned barriers_at;
  unsigned total;
};

// Of weights: {columns, rows, 1, 1}, or gated {columns, 8, gate and up, eights of outputs}.
struct FlowMaps {
  CUtensorMap whole;
  CUtensorMap rest;
  CUtensorMap rows;
};

// bf16, or e4m3 with scales as is_fast_fp8() has them, of whole stages; boxes can be copied of it.
bool flows(const device::Weight& w);
// Columns of a stage.
int flow_depth(const device::Weight& w);

// For so many rows of activations in a stage.
FlowPlan flow_plan(const Product& a, int rows, const BulkLimits& limits);
cudaError_t make_flow_maps(const Product& a, const FlowPlan& plan, int rows, FlowMaps& maps);

}  // namespace glm::kernels::cuda
