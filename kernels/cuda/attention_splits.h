// How many blocks share the positions of one token in the decode variants: candidates and their
// cost, apart from the kernels. Deterministic: shapes, positions_max and the device decide.
#pragma once

#include <algorithm>
#include <cstdint>

namespace glm::kernels::cuda {

// Split results in flight per multiprocessor, at most; sizes the workspace.
constexpr std::int64_t kSplitBlocksPerMultiprocessor = 2;

struct SplitShape {
  std::int64_t units = 0;   // tokens * blocks of heads: what would run unsplit
  std::int64_t tiles = 0;   // of the longest sequence
  std::int64_t places = 0;  // blocks the device runs at once
  std::int64_t splits_max = 0;
};

// Time in tiles: rounds over the device, each as long as its blocks, which pay a fixed price to
// start and, if they split, to be combined.
inline std::int64_t split_cost(const SplitShape& shape, std::int64_t splits) {
  constexpr std::int64_t kStart = 3;
  const std::int64_t rounds = (shape.units * splits + shape.places - 1) / shape.places;
  const std::int64_t length = (shape.tiles + splits - 1) / splits;
  return rounds * (kStart + length) + (splits > 1 ? kStart + splits / 16 : 0);
}

inline std::int64_t choose_splits(const SplitShape& shape) {
  const std::int64_t most = std::min(shape.tiles, shape.splits_max);
  std::int64_t best = 1;
  for (std::int64_t splits = 2; splits <= most; ++splits) {
    if (split_cost(shape, splits) < split_cost(shape, best)) best = splits;
  }
  return best;
}

}  // namespace glm::kernels::cuda
