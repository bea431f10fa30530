// Blocks of mla_absorbed_groups.cu: where things lie in shared memory, and what is copied there.
#pragma once

#include <cuda.h>

#include "kernels/device/attention_source.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/latent_groups.cuh"
#include "kernels/device/tensor_copy.cuh"
#include "kernels/device/tile_range.cuh"

namespace glm::kernels::cuda::mla_groups {

namespace groups = device::latent_groups;
using groups::kHeads;
using groups::kTile;

constexpr int kGroupThreads = groups::kGroupWarps * 32;
constexpr int kGroups = 3;  // the first has scores
constexpr int kWorkThreads = kGroups * kGroupThreads;
constexpr int kThreads = kWorkThreads + 32;
constexpr int kValueBoxes = groups::kLatentBoxes / (kGroups - 1);
constexpr int kUnitBoxes = 3;  // of a tile that are copied and used up together
constexpr int kUnits = groups::kBoxes / kUnitBoxes;
constexpr int kSlots = 8;
constexpr int kUnitBytes = kUnitBoxes * groups::kTileBox;
constexpr int kSizeMax = 8;  // of a cluster

// In shared memory. When all tiles have been used, results have the place of the first units; what
// other blocks send, that of queries.
constexpr int kQueriesAt = kSlots * kUnitBytes;
constexpr int kWeightsAt = kQueriesAt + groups::kQueryBytes;
constexpr int kSharedAt = kWeightsAt + 2 * groups::kWeightBytes;
constexpr int kOctets = groups::kLatent / 8;  // of a head

using HeadSum = float2;  // the highest score of a head, and the sum of its weights

struct Softmaxing {
  float highest[groups::kGroupWarps][kHeads];
  float shrink[kHeads];
};
struct Shared {
  Softmaxing tile[2];  // of tiles by turns
  std::uint64_t full[kSlots];
  std::uint64_t used[kSlots];
  std::uint64_t weighed[2];
  std::uint64_t added[2];
  std::uint64_t asked;
  std::uint64_t received;
};
// When the last tile has been used, where queries were.
struct Meeting {
  float sums[groups::kGroupWarps][kHeads];
  HeadSum own[kHeads];
  HeadSum said[kSizeMax][kHeads];
};
constexpr int kReceivedAt = kQueriesAt + (static_cast<int>(sizeof(Meeting)) + 127) / 128 * 128;
constexpr int kSharedBytes = kSharedAt + static_cast<int>(sizeof(Shared));
static_assert(kHeads * groups::kResultPitch <= kQueriesAt &&
              kReceivedAt + kHeads * kOctets * 16 + kSizeMax * 16 <= kWeightsAt);

struct Maps {
  CUtensorMap pages;
  CUtensorMap queries;
};

using Range = device::TileRange<kTile>;

__device__ inline int lane_of() {
  return static_cast<int>(threadIdx.x) % 32;
}

// Which unit of the ring is where, and which time its slot is used.
struct Unit {
  int number;

  __device__ Unit(int tile, int third) : number(tile * kUnits + third) {}
  __device__ int slot() const { return number % kSlots; }
  __device__ unsigned parity() const { return static_cast<unsigned>(number / kSlots) % 2; }
};

struct Block {
  Shared& shared;
  std::uint32_t memory;
  Range range;

  __device__ std::uint32_t slot(const Unit& unit) const {
    return memory + static_cast<unsigned>(unit.slot() * kUnitBytes);
  }
  __device__ std::uint32_t full(const Unit& unit) const {
    return device::shared_address(&shared.full[unit.slot()]);
  }
  __device__ std::uint32_t used(const Unit& unit) const {
    return device::shared_address(&shared.used[unit.slot()]);
  }
  __device__ std::uint32_t weighed(int tile) const {
    return device::shared_address(&shared.weighed[tile % 2]);
  }
  __device__ std::uint32_t added(int tile) const {
    return device::shared_address(&shared.added[tile % 2]);
  }
  __device__ std::uint32_t weights(int tile) const {
    return memory + static_cast<unsigned>(kWeightsAt + tile % 2 * groups::kWeightBytes);
  }
  __device__ std::uint32_t box(int tile, int box) const {
    return slot(Unit(tile, box / kUnitBoxes)) +
           static_cast<unsigned>(box % kUnitBoxes * groups::kTileBox);
  }
};

// By a thread of each of the first warps.
constexpr int kSetUpWarps = kSlots + 2;
static_assert(kSetUpWarps <= kWorkThreads / 32);
__device__ inline void set_up(const Block& block, int warp, unsigned received_bytes) {
  if (warp < kSlots) {
    device::barrier_set_up(device::shared_address(&block.shared.full[warp]), 1);
    device::barrier_set_up(device::shared_address(&block.shared.used[warp]),
                           kGroups * groups::kGroupWarps);
  } else if (warp == kSlots) {
    for (int i = 0; i < 2; ++i) {
      device::barrier_set_up(block.weighed(i), kGroupThreads);
      device::barrier_set_up(block.added(i), (kGroups - 1) * groups::kGroupWarps);
    }
  } else {
    device::barrier_set_up(device::shared_address(&block.shared.asked), 1);
    device::barrier_set_up(device::shared_address(&block.shared.received), 1);
  }
  device::barriers_are_set_up();
  if (warp == kSlots + 1) {
    device::barrier_arrive_expecting(device::shared_address(&block.shared.received),
                                     received_bytes);
  }
}

// By one warp, which waits for the kernel in front.
__device__ inline void fetch_queries(const Block& block, const Maps& maps, int token,
                                     int first_head) {
  const int lane = lane_of();
  const std::uint32_t asked = device::shared_address(&block.shared.asked);
  if (lane == 0) device::barrier_arrive_expecting(asked, groups::kQueryBytes);
  __syncwarp();
  device::wait_for_earlier_kernels();
  if (lane < groups::kBoxes) {
    device::copy_box(block.memory + static_cast<unsigned>(kQueriesAt + lane * groups::kHeadsBox),
                     maps.queries, {lane * groups::kBoxColumns, first_head, token}, asked);
  }
  __syncwarp();
}

// By one warp. `pages`: a lane's of the first tiles. `early`: tiles whose rows no kernel in front
// writes.
__device__ inline void fetch(const Block& block, const Maps& maps, const std::int32_t* table,
                             std::int32_t pages, int early) {
  const int lane = lane_of();
  const int units = block.range.count * kUnits;
  const std::uint64_t policy = device::read_once_policy();
  // Units before the first that must wait, for the kernel in front or for a place, all at once.
  const int first = min(max(0, min(early * kUnits, kSlots)), units);
  static_assert(kSlots * kUnitBoxes <= 32);
  if (lane < first) device::barrier_arrive_expecting(block.full(Unit(0, lane)), kUnitBytes);
  __syncwarp();  // bytes are announced
  const int own = lane / kUnitBoxes;
  const std::int32_t own_page = __shfl_sync(0xFFFFFFFFU, pages, own / kUnits);
  if (own < first) {
    const Unit unit(0, own);
    device::copy_box(
        block.slot(unit) + static_cast<unsigned>(lane % kUnitBoxes * groups::kTileBox), maps.pages,
        {(own % kUnits * kUnitBoxes + lane % kUnitBoxes) * groups::kBoxColumns, 0, own_page},
        block.full(unit), policy);
  }
  __syncwarp();
  device::wait_for_earlier_kernels();
#pragma unroll 1
  for (int number = first; number < units; ++number) {
    const int tile = number / kUnits;
    const int third = number % kUnits;
    if (number > 0 && number % (32 * kUnits) == 0) {
      pages = tile + lane < block.range.count ? table[tile + lane] : 0;
    }
    const std::int32_t page = __shfl_sync(0xFFFFFFFFU, pages, tile % 32);
    const Unit unit(tile, third);
    if (number >= kSlots) device::barrier_wait(block.used(unit), unit.parity() ^ 1U);
    if (lane == 0) device::barrier_arrive_expecting(block.full(unit), kUnitBytes);
    __syncwarp();
    if (lane < kUnitBoxes) {
      device::copy_box(block.slot(unit) + static_cast<unsigned>(lane * groups::kTileBox),
                       maps.pages, {(third * kUnitBoxes + lane) * groups::kBoxColumns, 0, page},
                       block.full(unit), policy);
    }
  }
}

}  // namespace glm::kernels::cuda::mla_groups
