// Sizes of the variant "bulk" of product.h (product_bulk.cu), and where things lie in its shared
// memory.
//
// A slab is sixteen rows of one expert's weights; gated, eight of gate and eight of up. It comes to
// a stage of shared memory as four copies of four rows of each part. Neighbouring rows of weights
// begin in the same banks: so every other copy is shifted by half the banks, or of eight bits by
// what a lane reads, and the rows of the tensor-core tile alternate between two copies.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

constexpr int kTeamWarps = 4;
constexpr int kFetchWarps = 2;  // each takes its part of the slabs; a copy takes long to begin
constexpr int kTileRows = 8;    // columns of the tensor-core tile: rows of activations
constexpr int kSlabRows = 16;
constexpr int kQuadRows = 4;  // of weights in one copy
constexpr int kQuads = kSlabRows / kQuadRows;
constexpr int kChunk = 128;                         // columns a warp takes at a time
constexpr int kBuffers = kTeamWarps;                // of sums of a team
constexpr int kBufferSums = (kTeamWarps - 1) * 32;  // sums of four in one of them

enum BulkPart : int { kData, kScales, kZeros, kBulkParts };

// In bytes.
struct BulkPlan {
  unsigned row[kBulkParts];   // of one row of weights
  unsigned quad[kBulkParts];  // from copy to copy in a stage
  unsigned at[kBulkParts];    // in a stage
  unsigned stage;
  unsigned stage_copied;  // what of a stage is filled
  unsigned stages_at;     // in shared memory, where activations come first
  unsigned partial_at;
  unsigned barriers_at;  // of stages: those that say full, then those that say empty
  unsigned team_barriers_at;
  unsigned ends_at;
  unsigned rows_at;
  unsigned ids_at;
  unsigned total;
  // A multiple of the teams. A stage then serves one team, which has used it up before it waits for
  // its next filling: of a barrier's phases only the last two can be told apart.
  int stages;
  int slabs;  // of an expert
};

struct BulkSizes {
  int tiles;  // of activations in shared memory at a time
  int teams;
};

// Of the current device.
struct BulkLimits {
  int multiprocessors = 0;
  unsigned shared_bytes = 0;  // of a block
  // No other process has kernels on the device at the same time (MPS): all blocks of a grid of one
  // each multiprocessor are there at once.
  bool alone = true;
};
BulkLimits bulk_limits();

// With as many stages as there is room for; none if there is not even one a team.
BulkPlan bulk_plan(const Product& a, const BulkSizes& sizes, const BulkLimits& limits);

// Whether moe_layer.cu may have slabs in e4m3 of it, which the variant has not.
bool supports_fp8_slabs(const Product& a);

// What suits a product; none if nothing fits.
std::optional<BulkSizes> bulk_sizes(const Product& a, const BulkLimits& limits);

}  // namespace glm::kernels::cuda
