// Device memory of moe_mlp and moe_layer: one row for each use of an expert by a token, in the
// order of ids.
#pragma once

#include <cstdint>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

// How far the blocks of moe_layer.cu are. Whoever is through adds to a count: one, or the first of
// them so much that the uppermost bit changes when all have, and the others are zero then.
enum MoeTask : unsigned {
  kMoeWide,  // the shared expert's first half
  kMoeLot,   // the routed experts' first halves: experts in two lots
  kMoeTasks = kMoeLot + 2
};
struct MoeProgress {
  std::uint32_t through[kMoeTasks];  // blocks
};

// Of moe_opening.cu: blocks that are through with its first half, and blocks that know it of all.
// All zero between launches.
struct MoeOpeningProgress {
  std::uint32_t halves;
  std::uint32_t passed;
};

// Sums that many blocks add to in any order, in units. Of few tokens: each has its logits before
// they are divided by the root of its mean square, and then the sum of its squares.
using MoeScore = unsigned long long;
constexpr float kMoeScoreUnit = 1.0F / (1U << 30U);
constexpr float kMoeSquaresUnit = 1.0F / (1U << 20U);
constexpr int kMoeScoredTokens = 8;
constexpr int kMoeSquares = 1;  // sums of a token besides those of experts

constexpr int kMoeMeetings = 2;
constexpr int kMoeSquaredTokens = 64;

// What the blocks of moe_columns.cu leave for each other, as numbers that say that they have come
// (device/awaited.cuh): what is between the halves of a token's experts, and then what the shared
// expert has there. There are two; a launch uses one and empties the other.
constexpr int kMoeAwaitedWide = 2048;  // columns

struct MoeAwaited {
  std::uint16_t* first = nullptr;  // bf16
  std::int64_t count = 0;          // numbers of one of them
  // Blocks that know which it is: as counts of MoeProgress, whose uppermost bit that is.
  std::uint32_t* turn = nullptr;
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
  MoeOpeningProgress* opening = nullptr;
  // Of product_groups.cu and expert_flow.cu, as device/blocks_meet.cuh wants them.
  std::uint32_t* meetings = nullptr;  // [kMoeMeetings]
  float* squares = nullptr;           // [kMoeSquaredTokens, hidden / kSquaredOutputs] of rows
  MoeAwaited awaited;
  MoeScore* scores =
      nullptr;  // [kMoeScoredTokens, experts + kMoeSquares] all zero between moe_layers
};

}  // namespace glm::kernels::cuda
