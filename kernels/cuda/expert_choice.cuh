// What the blocks of expert_flow.cu make of the choice of experts: who has chosen which, and which
// units of theirs a block has (sm_90a only).
#pragma once

#include "kernels/cuda/expert_flow.h"
#include "kernels/cuda/flow_ring.cuh"

namespace glm::kernels::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr unsigned kAllLanes = 0xFFFFFFFFU;

// Who has chosen what, in shared memory.
struct Choice {
  unsigned long long* masks;  // of experts: their tokens
  int* firsts;                // of experts: the first of their rows in the order of experts
  int* count;                 // of entries
  int* entries;               // experts that somebody chose
  std::uint16_t* pairs;       // in the order of experts

  __device__ Choice(const ExpertFlow& a, std::uint8_t* memory)
      : masks(reinterpret_cast<unsigned long long*>(memory + a.masks_at)),
        firsts(reinterpret_cast<int*>(memory + a.firsts_at)),
        count(reinterpret_cast<int*>(memory + a.entries_at)),
        entries(count + 2),
        pairs(reinterpret_cast<std::uint16_t*>(memory + a.pairs_at)) {}
};

__device__ inline int tokens_before(unsigned long long mask, int token) {
  return __popcll(mask & ((1ULL << token) - 1));
}

// By a whole block; masks are zero.
__device__ inline void list_choice(const ExpertFlow& a, const Choice& choice) {
  const int pairs = a.tokens * a.chosen;
  for (int pair = static_cast<int>(threadIdx.x); pair < pairs; pair += kFlowThreads) {
    atomicOr(choice.masks + a.ids[pair], 1ULL << (pair / a.chosen));
  }
  __syncthreads();  // all masks are there
  if (threadIdx.x < device::kWarpThreads) {
    const auto lane = static_cast<int>(threadIdx.x);
    int entries = 0;
    int rows = 0;
    for (int e = lane; e - lane < a.experts; e += device::kWarpThreads) {
      const int own = e < a.experts ? __popcll(choice.masks[e]) : 0;
      const unsigned there = __ballot_sync(kAllLanes, own > 0);
      int upto = own;
#pragma unroll
      for (int offset = 1; offset < device::kWarpThreads; offset *= 2) {
        const int other = __shfl_up_sync(kAllLanes, upto, offset);
        if (lane >= offset) upto += other;
      }
      if (e < a.experts) choice.firsts[e] = rows + upto - own;
      if (own > 0) choice.entries[entries + __popc(there & ((1U << lane) - 1))] = e;
      entries += __popc(there);
      rows += __shfl_sync(kAllLanes, upto, device::kWarpThreads - 1);
    }
    if (lane == 0) *choice.count = entries;
  }
  __syncthreads();  // all entries are there
  for (int pair = static_cast<int>(threadIdx.x); pair < pairs; pair += kFlowThreads) {
    const int expert = a.ids[pair];
    const int place = choice.firsts[expert] + tokens_before(choice.masks[expert], pair / a.chosen);
    choice.pairs[place] = static_cast<std::uint16_t>(pair);
  }
  __syncthreads();  // all places are known
}

// Some units of one expert.
struct Tile {
  int expert;
  int first_unit;
  int units;
};

// This block's piece of a half, tile by tile and step by step.
class Piece {
 public:
  __device__ Piece(const ExpertHalf& half, const Choice& choice, int most_units)
      : choice_(choice), units_(half.units), steps_(half.steps), most_units_(most_units) {
    const int all = *choice.count * half.units;
    const auto edge = [&](unsigned block) {
      return static_cast<int>(static_cast<long long>(all) * block / gridDim.x);
    };
    at_ = edge(blockIdx.x);
    end_ = edge(blockIdx.x + 1);
    find_tile();
  }

  __device__ bool there() const { return at_ < end_; }
  __device__ const Tile& tile() const { return tile_; }
  __device__ int step() const { return step_; }
  __device__ void next_tile() {
    at_ += tile_.units;
    find_tile();
  }
  __device__ void next_step() {
    if (++step_ < steps_) return;
    step_ = 0;
    next_tile();
  }

 private:
  __device__ void find_tile() {
    if (at_ >= end_) return;
    const int entry = at_ / units_;
    const int unit = at_ - entry * units_;
    tile_ = {.expert = choice_.entries[entry],
             .first_unit = unit,
             .units = min(min(units_ - unit, end_ - at_), most_units_)};
  }

  const Choice& choice_;
  int units_;
  int steps_;
  int most_units_;
  int at_;
  int end_;
  int step_ = 0;
  Tile tile_ = {};
};

// As high as tiles of either half need be for a block to have one.
__device__ inline int units_of_tiles(const ExpertFlow& a, const Choice& choice) {
  const int all = *choice.count * max(a.half[0].units, a.half[1].units);
  return min((all + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x),
             kExpertUnitsMax);
}

#endif

}  // namespace glm::kernels::cuda
