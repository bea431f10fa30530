// What the warps of a block of product_groups.cu tell each other.
//
// A block has an equal part of the slabs of all entries (bulk_slabs.cuh), entry by entry: loaders
// bring the rows of the next entry to one of two buffers, fetchers weights to the stages of their
// teams, and workers multiply. All go on by themselves: nobody waits but for what it needs.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/groups_plan.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

constexpr int kGroupsWorkers = kGroupsTeams * kTeamWarps;  // warps
constexpr int kGroupsFetchers = kGroupsTeams;
constexpr int kGroupsLoaders = 4;
constexpr int kGroupsThreads =
    (kGroupsWorkers + kGroupsFetchers + kGroupsLoaders) * device::kWarpThreads;

// Of a team; and where in it somebody is.
struct GroupsRing {
  std::uint32_t stages;
  std::uint32_t full;  // barriers
  std::uint32_t empty;
  int depth;
  int stage = 0;
  unsigned parity = 0;  // of the round

  __device__ GroupsRing(const GroupsPlan& plan, std::uint8_t* memory, int team)
      : stages(device::shared_address(memory) +
               static_cast<unsigned>(team * plan.depth) * kGroupsStage),
        full(device::shared_address(memory + plan.barriers_at) +
             16 * static_cast<unsigned>(team * plan.depth)),
        empty(full + 8 * static_cast<unsigned>(plan.depth)),
        depth(plan.depth) {}
  __device__ std::uint32_t place() const {
    return stages + static_cast<unsigned>(stage) * kGroupsStage;
  }
  __device__ void advance() {
    if (++stage < depth) return;
    stage = 0;
    parity ^= 1U;
  }
};

// Buffer `buffer` of the rows of an entry.
struct RowBuffer {
  std::uint32_t full;   // barriers: the rows are there
  std::uint32_t empty;  // all workers have left them
  std::int32_t* rows;
  int* count;
  uint4* activations;
  float* begins;

  __device__ RowBuffer(const GroupsPlan& plan, std::uint8_t* memory, int buffer) {
    std::uint8_t* numbers = memory + plan.rows_at + buffer * kRowBufferBytes;
    full = device::shared_address(numbers);
    empty = full + 8;
    rows = reinterpret_cast<std::int32_t*>(numbers + 16);
    count = rows + kTileRows;
    activations = reinterpret_cast<uint4*>(memory + plan.activations_at +
                                           static_cast<unsigned>(buffer) * plan.rows_bytes);
    begins = reinterpret_cast<float*>(memory + plan.begins_at +
                                      static_cast<unsigned>(buffer) * plan.rows_bytes);
  }
};

// Which buffer comes next.
struct RowTurn {
  int buffers;
  int buffer = 0;
  unsigned parity = 0;

  __device__ void advance() {
    if (++buffer < buffers) return;
    buffer = 0;
    parity ^= 1U;
  }
};

// Barriers that are passed once: the first rows are there; and the workers have stored what is
// between the halves.
struct OnceBarriers {
  std::uint32_t first_rows;
  std::uint32_t inner_done;

  __device__ OnceBarriers(const GroupsPlan& plan, std::uint8_t* memory)
      : first_rows(device::shared_address(memory + plan.once_at)), inner_done(first_rows + 8) {}
};

// By one thread, before a __syncthreads().
__device__ inline void set_up_barriers(const GroupsPlan& plan, std::uint8_t* memory) {
  const std::uint32_t barriers = device::shared_address(memory + plan.barriers_at);
#pragma unroll 1
  for (int i = 0; i < 2 * plan.depth * kGroupsTeams; ++i) {
    device::barrier_set_up(barriers + 8 * i, i / plan.depth % 2 == 0 ? 1 : kTeamWarps);
  }
#pragma unroll 1
  for (int i = 0; i < plan.buffers; ++i) {
    const RowBuffer buffer(plan, memory, i);
    device::barrier_set_up(buffer.full, kGroupsLoaders);
    device::barrier_set_up(buffer.empty, kGroupsWorkers);
  }
  const OnceBarriers once(plan, memory);
  device::barrier_set_up(once.first_rows, kGroupsLoaders);
  device::barrier_set_up(once.inner_done, kGroupsWorkers);
  device::barriers_are_set_up();
}

// An equal part of so many slabs for this block.
__device__ inline Share equal_part(int slabs) {
  const auto all = static_cast<unsigned>(slabs);
  const unsigned each = all / gridDim.x;
  const unsigned more = all % gridDim.x;
  const auto edge = [&](unsigned block) {
    return static_cast<int>(block * each + min(block, more));
  };
  return {edge(blockIdx.x), edge(blockIdx.x + 1)};
}

}  // namespace glm::kernels::cuda
