// What the warps of a block of product_groups.cu tell each other.
//
// A block has an equal share of the slabs of many entries (bulk_slabs.cuh), entry by entry: loaders
// bring the rows of the next entry to one of two buffers, fetchers weights to the stages of their
// teams, workers multiply, and finishers add up and store. All go on by themselves: nobody waits
// but for what it needs.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/groups_plan.h"
#include "kernels/cuda/groups_sums.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

constexpr int kGroupsWorkers = kGroupsTeams * kTeamWarps;  // warps
constexpr int kGroupsFetchers = kGroupsTeams;
constexpr int kGroupsLoaders = 4;
constexpr int kGroupsFinishers = kGroupsTeams;
constexpr int kGroupsThreads =
    (kGroupsWorkers + kGroupsFetchers + kGroupsLoaders + kGroupsFinishers) * device::kWarpThreads;

// Of a team; and where in it somebody is. Workers go on with few instructions: a chunk has but some
// two hundred.
class GroupsRing {
 public:
  __device__ GroupsRing(const GroupsPlan& plan, std::uint8_t* memory, int team)
      : bytes_(static_cast<unsigned>(plan.depth) * kGroupsStage),
        barriers_(8 * static_cast<unsigned>(plan.depth)),
        place_(device::shared_address(memory) + static_cast<unsigned>(team) * bytes_),
        end_(place_ + bytes_),
        full_(device::shared_address(memory + plan.barriers_at) +
              2 * static_cast<unsigned>(team) * barriers_) {}
  __device__ std::uint32_t place() const { return place_; }
  // Barriers of the stage; and the parity of the round.
  __device__ std::uint32_t full() const { return full_; }
  __device__ std::uint32_t empty() const { return full_ + barriers_; }
  __device__ unsigned parity() const { return parity_; }
  __device__ void advance() {
    place_ += kGroupsStage;
    full_ += 8;
    if (place_ != end_) return;
    place_ -= bytes_;
    full_ -= barriers_;
    parity_ ^= 1U;
  }

 private:
  std::uint32_t bytes_;  // of all stages, and of their barriers
  std::uint32_t barriers_;
  std::uint32_t place_;
  std::uint32_t end_;
  std::uint32_t full_;
  unsigned parity_ = 0;
};

// Buffer `buffer` of the rows of an entry.
struct RowBuffer {
  std::uint32_t full;   // barriers: the rows are there
  std::uint32_t empty;  // all that use them have left them
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

// Entries come in two lots: the first halves of both, then the second ones. So a block can go on
// with one lot while others end what it needs of the other.
constexpr int kLots = 2;

// What is used once: the barrier that is passed when the first rows are there; and of either lot,
// how many finishers have stored what is between the halves, and what the counter of its meeting
// was before this block came.
struct Once {
  std::uint32_t first_rows;
  std::uint32_t* stored;
  std::uint32_t* before;

  __device__ Once(const GroupsPlan& plan, std::uint8_t* memory)
      : first_rows(device::shared_address(memory + plan.once_at)),
        stored(reinterpret_cast<std::uint32_t*>(memory + plan.once_at + sizeof(std::uint64_t))),
        before(stored + kLots) {}

  // By one thread of each finisher: true for the last one, which may tell other blocks.
  __device__ bool all_have_stored(int lot) const {
    std::uint32_t others = 0;
    asm volatile("atom.acq_rel.cta.shared::cta.add.u32 %0, [%1], 1;\n"
                 : "=r"(others)
                 : "r"(device::shared_address(stored + lot))
                 : "memory");
    return others == kGroupsFinishers - 1;
  }
};

// By a whole warp, before a __syncthreads().
__device__ inline void set_up_barriers(const GroupsPlan& plan, std::uint8_t* memory) {
  const int lane = lane_index();
  for (int i = lane; i < kGroupsTeams * plan.depth; i += device::kWarpThreads) {
    const GroupsRing ring(plan, memory, i / plan.depth);
    const auto stage = static_cast<unsigned>(i % plan.depth);
    device::barrier_set_up(ring.full() + 8 * stage, 1);
    device::barrier_set_up(ring.empty() + 8 * stage, kTeamWarps);
  }
  if (lane < plan.buffers) {
    const RowBuffer buffer(plan, memory, lane);
    device::barrier_set_up(buffer.full, kGroupsLoaders);
    device::barrier_set_up(buffer.empty, kGroupsWorkers + kGroupsFinishers);
  }
  if (lane < kGroupsTeams * kSumBuffers) {
    GroupsSums(plan, memory, lane / kSumBuffers).set_up(lane % kSumBuffers);
  }
  const Once once(plan, memory);
  if (lane < kLots) once.stored[lane] = 0;
  if (lane == 0) device::barrier_set_up(once.first_rows, kGroupsLoaders);
  device::barriers_are_set_up();
}

// What a block does in a turn: slabs of consecutive entries, which its teams take one after the
// other, as they went on in the turn before.
struct GroupsShare {
  int begin;
  int end;
  int before;  // slabs of all turns before

  __device__ int first(int team) const {
    return begin + (team - before % kGroupsTeams + kGroupsTeams) % kGroupsTeams;
  }
};

// The turns of a block.
class GroupsTurns {
 public:
  __device__ explicit GroupsTurns(int entries) : entries_(entries) {}

  // An equal share of a lot. What does not divide goes to blocks in turn.
  __device__ GroupsShare next(const GroupsProduct& p, int lot) {
    const int first = lot == 0 ? 0 : entries_ / kLots;
    const int end = lot == 0 ? entries_ / kLots : entries_;
    const auto slabs = static_cast<unsigned>((end - first) * p.slabs);
    const unsigned each = slabs / gridDim.x;
    const unsigned more = slabs % gridDim.x;
    const unsigned place = (blockIdx.x + gridDim.x - given_) % gridDim.x;
    given_ = (given_ + more) % gridDim.x;
    const auto edge = [&](unsigned at) {
      return first * p.slabs + static_cast<int>(at * each + min(at, more));
    };
    const GroupsShare share{.begin = edge(place), .end = edge(place + 1), .before = before_};
    before_ += share.end - share.begin;
    return share;
  }

 private:
  int entries_;
  int before_ = 0;
  unsigned given_ = 0;  // blocks that have had one slab more than others
};

}  // namespace glm::kernels::cuda
