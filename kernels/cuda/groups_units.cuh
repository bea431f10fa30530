// What the warps of a block of product_groups.cu tell each other.
//
// A block has an equal share of the slabs of many entries (groups_entries.cuh), entry by entry:
// loaders bring the rows of the next entry to one of few buffers, fetchers weights to the stages of
// their teams, workers multiply, and finishers add up and store. All go on by themselves: nobody
// waits but for what it needs.
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

// Of a team, two stages; and where in it somebody is. Workers go on with few instructions: a chunk
// has but some two hundred.
class GroupsRing {
 public:
  __device__ GroupsRing(const GroupsPlan& plan, std::uint8_t* memory, int team)
      : place_(device::shared_address(memory) +
               static_cast<unsigned>(team) * (kGroupsDepth * kGroupsStage)),
        other_(place_ ^ (place_ + kGroupsStage)),
        full_(device::shared_address(memory + plan.barriers_at) +
              static_cast<unsigned>(team) * (2 * kBarriers)) {}
  __device__ std::uint32_t place() const { return place_; }
  // Barriers of the stage; and the parity of the round.
  __device__ std::uint32_t full() const { return full_; }
  __device__ std::uint32_t empty() const { return full_ + kBarriers; }
  __device__ unsigned parity() const { return turns_ >> 31U; }
  __device__ void advance() {
    place_ ^= other_;
    full_ ^= kBarriers / 2;
    turns_ += 1U << 30U;
  }

 private:
  static_assert(kGroupsDepth == 2);
  static constexpr unsigned kBarriers = kGroupsDepth * 8;  // those that say full

  std::uint32_t place_;
  std::uint32_t other_;      // in what the other stage's differs
  std::uint32_t full_;       // begins at a multiple of kBarriers
  std::uint32_t turns_ = 0;  // in quarters of 2^32: two of them are a round
};

// Buffer `buffer` of the rows of an entry.
struct RowBuffer {
  std::uint32_t full;   // barriers: the rows are there
  std::uint32_t empty;  // all that use them have left them
  std::int32_t* rows;
  int* count;
  std::uint8_t* activations;
  float* units;  // of rows

  __device__ RowBuffer(const GroupsPlan& plan, std::uint8_t* memory, int buffer) {
    std::uint8_t* numbers = memory + plan.rows_at + buffer * kRowBufferBytes;
    full = device::shared_address(numbers);
    empty = full + 8;
    rows = reinterpret_cast<std::int32_t*>(numbers + 16);
    count = rows + kTileRows;
    activations = memory + plan.activations_at + static_cast<unsigned>(buffer) * plan.rows_bytes;
    units = reinterpret_cast<float*>(memory + plan.units_at +
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

// What is used once: the barrier that is passed when each loader has read the first row it has, if
// any; and of either lot, how many finishers have stored what is between the halves, and what the
// counter of its meeting was before this block came.
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

// By one thread of each warp, before a __syncthreads(): barriers of a warp are set up one after the
// other, and all wait for the last.
__device__ inline void set_up_barriers(const GroupsPlan& plan, std::uint8_t* memory, int warp) {
  constexpr int kSums = kGroupsTeams;
  const int stages = kGroupsTeams * kGroupsDepth;
  for (int i = warp; i < kSums + stages + plan.buffers + 1;
       i += kGroupsThreads / device::kWarpThreads) {
    const int stage = i - kSums;
    const int buffer = stage - stages;
    if (i < kSums) {
      GroupsSums(plan, memory, i).set_up();
    } else if (stage < stages) {
      const GroupsRing ring(plan, memory, stage / kGroupsDepth);
      const auto number = static_cast<unsigned>(stage % kGroupsDepth);
      device::barrier_set_up(ring.full() + 8 * number, 1);
      device::barrier_set_up(ring.empty() + 8 * number, kTeamWarps);
    } else if (buffer < plan.buffers) {
      const RowBuffer rows(plan, memory, buffer);
      device::barrier_set_up(rows.full, kGroupsLoaders);
      device::barrier_set_up(rows.empty, kGroupsWorkers + kGroupsFinishers);
    } else {
      const Once once(plan, memory);
      device::barrier_set_up(once.first_rows, kGroupsLoaders);
      for (int lot = 0; lot < kLots; ++lot) once.stored[lot] = 0;
    }
  }
  device::barriers_are_set_up();
}

// What a block does in a turn: slabs of consecutive entries, which its teams take one after the
// other, as they went on in the turn before.
struct GroupsShare {
  int entry;
  int slab;   // of that entry, the first
  int count;  // of slabs
  int team;   // that takes the first

  // How many slabs come before this team's first.
  __device__ int before(int of_team) const {
    return (of_team - team + kGroupsTeams) % kGroupsTeams;
  }
};

// What an entry counts for beside its slabs, for its rows have to be brought.
constexpr unsigned kEntryCost = 1;

// The shares of this block in all turns, lot by lot and half by half.
struct GroupsShares {
  GroupsShare* of;

  __device__ GroupsShares(const GroupsPlan& plan, std::uint8_t* memory)
      : of(reinterpret_cast<GroupsShare*>(memory + plan.shares_at)) {}

  // By a whole warp, before a __syncthreads(). Every block has an equal part of a lot, in which an
  // entry counts as some slabs more than it has, for what its rows take. What does not divide goes
  // to blocks in turn. `slabs` are those of an entry in either half.
  __device__ void note(int entries, int slabs_of_first, int slabs_of_second) const {
    const int turn = lane_index() % kTurnsMax;
    const int of_first_lot = entries * kFirstLot / 8;
    const int first = turn % kLots == 0 ? 0 : of_first_lot;
    const int end = turn % kLots == 0 ? of_first_lot : entries;
    const auto slabs = static_cast<unsigned>(turn < kLots ? slabs_of_first : slabs_of_second);
    const unsigned weight = slabs + kEntryCost;
    const unsigned all = static_cast<unsigned>(end - first) * weight;
    const unsigned each = all / gridDim.x;
    const unsigned more = all - each * gridDim.x;
    const unsigned given = before_this(turn, more);  // those that have had one more than others
    const unsigned place = (blockIdx.x + kTurnsMax * gridDim.x - given) % gridDim.x;
    const auto edge = [&](unsigned at) {
      const unsigned weights = at * each + min(at, more);
      const unsigned entry = weights / weight;
      return entry * slabs + min(weights - entry * weight, slabs);
    };
    const unsigned begin = edge(place);
    const unsigned count = edge(place + 1) - begin;
    const unsigned taken = before_this(turn, count);
    if (lane_index() >= kTurnsMax) return;
    of[turn] = {.entry = first + static_cast<int>(begin / slabs),
                .slab = static_cast<int>(begin % slabs),
                .count = static_cast<int>(count),
                .team = static_cast<int>(taken % kGroupsTeams)};
  }

 private:
  // The sum over all turns before this one.
  __device__ static unsigned before_this(int turn, unsigned own) {
    unsigned sum = 0;
#pragma unroll
    for (int other = 0; other < kTurnsMax - 1; ++other) {
      const unsigned value = __shfl_sync(kFullWarp, own, other);
      if (other < turn) sum += value;
    }
    return sum;
  }
};

}  // namespace glm::kernels::cuda
