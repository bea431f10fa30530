// Sizes of the variant "pairs" of product.h (product_pairs.cu), where things lie in its shared
// memory, and the tensor maps that copy them there.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <optional>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

constexpr int kPairBlocks = 2;
constexpr int kPairOutputs = 64;  // of a block
constexpr int kPairRowsMax = 64;
constexpr int kPairUnit = 256;                      // columns that are copied together
constexpr int kPairGroups = 2;                      // warpgroups, each with half of a unit
constexpr int kPairHalf = kPairUnit / kPairGroups;  // columns of a box of weights
constexpr int kPairBox = 64;                        // columns of a box of activations
constexpr int kPairUnitBoxes = kPairUnit / kPairBox;
constexpr int kPairPartsMax = 4;
constexpr int kPairManyUnits = 4;                 // of a block with many rows
constexpr int kPairSumsPitch = kPairOutputs + 4;  // what a warp writes then lies in different banks
constexpr unsigned kPairScaleRowBytes = 16;
constexpr unsigned kPairScalesBytes = kPairOutputs * kPairScaleRowBytes;
constexpr unsigned kPairHalfWeights = kPairOutputs * kPairHalf;
constexpr unsigned kPairAlignment = 1024;
static_assert(kPairOutputs * kPairRowsMax <= kSplitBlockSums);

// In bytes where nothing else is said.
struct PairPlan {
  int tiles;      // of outputs, a multiple of the blocks of a pair
  int parts;      // of the columns
  int units;      // of a block
  unsigned bits;  // of a weight: of eight, scales are not copied
  unsigned box;   // of activations: what is copied, and from one to the next
  unsigned box_pitch;
  unsigned rows_at;  // in shared memory, where weights come first
  unsigned scales_at;
  unsigned received_at;
  unsigned barriers_at;
  unsigned total;
  bool whole_fours;  // of results go out at once
  bool together;     // all parts of a tile are a cluster
};

struct PairWeightMaps {
  CUtensorMap weights;
  CUtensorMap scales;
};
struct PairMaps {
  PairWeightMaps of[2];  // the other is that of `up` in a product that is joined
  CUtensorMap rows;
};

// Rows that the kernel for these has room for.
constexpr std::int64_t pair_columns(std::int64_t rows) {
  return rows <= 16 ? 16 : rows <= 32 ? 32 : kPairRowsMax;
}

// None if format, shape or device do not suit.
std::optional<PairPlan> pair_plan(const Product& a);
cudaError_t make_pair_maps(const Product& a, const PairPlan& plan, PairMaps& maps);

}  // namespace glm::kernels::cuda
