// How many blocks share the positions of one token in the cluster variant, and how many of them
// form a cluster, whose blocks add up what they found among themselves. Candidates and their cost,
// apart from the kernels. Deterministic: shapes, positions_max and the device decide.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/attention.h"

namespace glm::kernels::cuda {

struct ClusterShape {
  std::int64_t units = 0;  // tokens * blocks of heads: what would run unsplit
  std::int64_t tiles = 0;  // of the longest sequence
  std::int64_t splits_max = 0;
};

struct ClusterPlan {
  std::int64_t size = 1;      // blocks of a cluster
  std::int64_t clusters = 1;  // of a unit; more than one leave results to be combined
  std::int64_t tiles = 0;     // of a block, at most
};

// In tenths of a microsecond on an H100 with tiles of 64 latents. A tile takes the time of its
// products, or of its bytes where many blocks read at once; and while blocks hold most of the
// device, the ones after them cannot start early.
inline std::int64_t cluster_cost(const ClusterShape& shape, const AttentionWorkspace& workspace,
                                 const ClusterPlan& plan, std::int64_t clusters_at_once) {
  constexpr std::int64_t kStart = 34;
  constexpr std::int64_t kProducts = 23;
  constexpr std::int64_t kRead = 33;  // while all multiprocessors do
  constexpr std::int64_t kLate = 30;
  constexpr std::int64_t kMeet = 4;
  constexpr std::int64_t kCombine = 27;
  const std::int64_t clusters = shape.units * plan.clusters;
  const std::int64_t rounds = (clusters + clusters_at_once - 1) / clusters_at_once;
  const std::int64_t blocks = std::min(clusters, clusters_at_once) * plan.size;
  const std::int64_t tile = std::max(kProducts, kRead * blocks / workspace.multiprocessors);
  return rounds * (kStart + plan.tiles * tile) +
         (2 * blocks > workspace.multiprocessors ? kLate : 0) +
         (plan.size > 1 ? kMeet + plan.size / 2 : 0) +
         (plan.clusters > 1 ? kCombine + clusters / 3 : 0);
}

inline ClusterPlan choose_clusters(const ClusterShape& shape, const AttentionWorkspace& workspace) {
  ClusterPlan best;
  std::int64_t least = INT64_MAX;
  for (const std::int64_t size : {1, 2, 4, 8, 16}) {
    const std::int64_t at_once = workspace.latent_clusters[static_cast<std::size_t>(size)];
    if (at_once == 0 || size > std::max<std::int64_t>(shape.tiles, 1)) break;
    const std::int64_t most =
        std::min(shape.splits_max, std::max<std::int64_t>(shape.tiles / size, 1));
    for (std::int64_t clusters = 1; clusters <= most; ++clusters) {
      const std::int64_t splits = size * clusters;
      const ClusterPlan plan{
          .size = size, .clusters = clusters, .tiles = (shape.tiles + splits - 1) / splits};
      const std::int64_t cost = cluster_cost(shape, workspace, plan, at_once);
      if (cost < least) {
        least = cost;
        best = plan;
      }
    }
  }
  return best;
}

}  // namespace glm::kernels::cuda
