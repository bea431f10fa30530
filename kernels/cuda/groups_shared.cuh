// The second half of the expert of all tokens, by the workers of product_groups.cu before their
// first slab comes (sm_90 and later): what is between its halves is there when the kernel in front
// has ended, and until weights and rows of the routed experts have come workers have nothing else
// to do.
#pragma once

#include "kernels/cuda/groups_plan.h"
#include "kernels/cuda/groups_units.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/sync_threads.cuh"
#include "kernels/device/weight_octet.cuh"

namespace glm::kernels::cuda {

constexpr int kSharedTokens = 16;  // at a time
constexpr int kSharedBarrier = 2;  // 1 is that of GroupsEntries::sort()
// Sums of all workers lie where those of slabs will.
static_assert(kGroupsWorkers * kSharedRows * kSharedTokens == kGroupsTeams * kBufferedSums * 4);

// What a worker has of the weights: pieces of a row's columns, worker by worker. A lane has eight
// columns of two rows, and is given the same eight of activations: as products add up over them,
// it does not matter which of sixteen columns they are called.
template <class Octet>
struct SharedWeights {
  Octet upper[kSharedPieces];
  Octet lower[kSharedPieces];

  __device__ void read(const GroupsShared& a, int first_row, int warp) {
    const int lane = lane_index();
#pragma unroll
    for (int i = 0; i < kSharedPieces; ++i) {
      const int column = column_of(i, warp);
      if (column >= a.inputs) continue;
      upper[i].read(a.down, first_row + lane / 4, static_cast<std::uint32_t>(column));
      lower[i].read(a.down, first_row + lane / 4 + 8, static_cast<std::uint32_t>(column));
    }
  }
  // The first of this lane's columns in piece `i` of a worker. Inputs are whole pieces: there are
  // such columns in all lanes or in none.
  __device__ static int column_of(int i, int warp) {
    return (i * kGroupsWorkers + warp) * kSharedPiece + lane_index() % 4 * 8;
  }
};

// Likewise of two groups of eight tokens; what there is not is zero.
struct SharedActivations {
  uint4 of[2][kSharedPieces];

  __device__ void read(const GroupsShared& a, int first_token, int warp) {
#pragma unroll
    for (int group = 0; group < 2; ++group) {
      const int token = first_token + 8 * group + lane_index() / 4;
      const __nv_bfloat16* row = a.inner + static_cast<std::int64_t>(token) * a.inputs;
#pragma unroll
      for (int i = 0; i < kSharedPieces; ++i) {
        const int column = SharedWeights<device::Bf16Octet>::column_of(i, warp);
        const bool there = token < a.tokens && column < a.inputs;
        of[group][i] = there ? __ldcg(reinterpret_cast<const uint4*>(row + column)) : uint4{};
      }
    }
  }
};

// Sums of a worker over its columns: sums[group] of rows l / 4 and l / 4 + 8 and two tokens.
template <class Octet>
__device__ void multiply_shared(const GroupsShared& a, const SharedWeights<Octet>& weights,
                                const SharedActivations& x, int warp, float (&sums)[2][4]) {
#pragma unroll
  for (int i = 0; i < kSharedPieces; ++i) {
    if (SharedWeights<Octet>::column_of(i, warp) >= a.inputs) continue;
    const uint4 upper = weights.upper[i].decoded(a.down);
    const uint4 lower = weights.lower[i].decoded(a.down);
    const std::uint32_t front[4] = {upper.x, lower.x, upper.y, lower.y};
    const std::uint32_t back[4] = {upper.z, lower.z, upper.w, lower.w};
#pragma unroll
    for (int group = 0; group < 2; ++group) {
      device::mma_16x8x16(sums[group], front, x.of[group][i].x, x.of[group][i].y);
      device::mma_16x8x16(sums[group], back, x.of[group][i].z, x.of[group][i].w);
    }
  }
}

// By all workers of all blocks, after wait_for_earlier_kernels() and before any of them has a
// GroupsWorker, whose sums lie where these do. Where the opening left it (moe_opening.cu) there are
// blocks enough for a turn each.
template <class Octet>
__device__ void end_shared_expert(const GroupsShared& a, const GroupsPlan& plan,
                                  std::uint8_t* memory) {
  constexpr int kThreads = kGroupsWorkers * device::kWarpThreads;
  constexpr int kResults = kSharedRows * kSharedTokens;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = lane_index();
  auto* partial = reinterpret_cast<float*>(memory + plan.sums_at);
  const auto unit = Octet::unit(a.down);
#pragma unroll 1
  for (int row = static_cast<int>(blockIdx.x) * kSharedRows; row < a.outputs;
       row += static_cast<int>(gridDim.x) * kSharedRows) {
    SharedWeights<Octet> weights;
    weights.read(a, row, warp);
    SharedActivations x;
    x.read(a, 0, warp);
#pragma unroll 1
    for (int first = 0; first < a.tokens; first += kSharedTokens) {
      float sums[2][4] = {};
      multiply_shared(a, weights, x, warp, sums);
      if (first + kSharedTokens < a.tokens) x.read(a, first + kSharedTokens, warp);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int token = i / 4 * 8 + lane % 4 * 2 + i % 2;
        const int of_row = i / 2 % 2 * 8 + lane / 4;
        partial[warp * kResults + token * kSharedRows + of_row] = sums[i / 4][i % 4];
      }
      device::sync_threads(kSharedBarrier, kThreads);  // the sums of all workers are there
      const int own = static_cast<int>(threadIdx.x);
      const int token = first + own / kSharedRows;
      if (own < kResults && token < a.tokens) {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < kGroupsWorkers; ++w) sum += partial[w * kResults + own];
        device::store(
            a.out + static_cast<std::int64_t>(token) * a.outputs + row + own % kSharedRows,
            sum * unit);
      }
      device::sync_threads(kSharedBarrier, kThreads);  // nobody still reads them
    }
  }
}

}  // namespace glm::kernels::cuda
