// What the warps of a block of moe_layer.cu do, and where they meet.
#pragma once

#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/moe_layer.h"

namespace glm::kernels::cuda {

// The first warps multiply: the workers, in teams. Of the others, the servants, the first fetches
// weights, and those after it may choose experts and then fetch as well.
constexpr int kWorkers = kMoeWarps * device::kWarpThreads;
constexpr int kServants = kMoeServants * device::kWarpThreads;
constexpr int kChooserWarps = kMoeServants - 1;

// Named barriers; the first is everybody's.
constexpr int kWorkersBarrier = 1;
constexpr int kChoosersBarrier = kWorkersBarrier + 1;

__device__ inline void workers_meet() {
  device::sync_threads(kWorkersBarrier, kWorkers);
}

}  // namespace glm::kernels::cuda
