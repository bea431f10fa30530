// The entries of a block of product_groups.cu, each up to kTileRows rows of one expert, and which
// rows those are.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/groups_plan.h"
#include "kernels/device/sync_threads.cuh"

namespace glm::kernels::cuda {

// In shared memory.
struct GroupsEntries {
  int* ends;              // how many entries experts up to this one have
  int* row_ends;          // and how many rows
  std::uint16_t* ids;     // the expert of each row
  std::uint16_t* sorted;  // rows by experts, those of each in any order

  __device__ GroupsEntries(const GroupsPlan& plan, std::uint8_t* memory)
      : ends(reinterpret_cast<int*>(memory + plan.entries_at)),
        row_ends(ends + plan.experts),
        ids(reinterpret_cast<std::uint16_t*>(row_ends + plan.experts)),
        sorted(ids + plan.rows) {}

  // By all threads of the block; those of the first warp go on with `then(entries)` before all
  // meet. Calls `wait` where the experts of rows have to be there.
  template <class Wait, class Then>
  __device__ void list(const Product& a, const Wait& wait, const Then& then) const {
    const int experts = static_cast<int>(a.groups);
    count_rows(a, ends, ids, wait);
    if (threadIdx.x < device::kWarpThreads) then(add_up(experts));
    __syncthreads();  // the list is there
  }

  // Puts rows into their order: by `threads` threads, of which this is one, who meet at a barrier
  // then.
  __device__ void sort(int rows, int thread, int threads) const {
    for (int i = thread; i < rows; i += threads) {
      sorted[atomicAdd(&row_ends[ids[i]], 1)] = static_cast<std::uint16_t>(i);
    }
    device::sync_threads(1, threads);
  }

  // Notes the rows of an entry, but only every warps-th, which this warp will load, and returns how
  // many there are. By a whole warp, after sort(). Where an expert has several entries, all blocks
  // have to agree about their rows: there they are looked for in the order of numbers.
  __device__ int note_rows(const Product& a, int entry, int expert, int warp, int warps,
                           std::int32_t* rows) const {
    const int begin = expert > 0 ? row_ends[expert - 1] : 0;
    const int count = row_ends[expert] - begin;
    if (count > kTileRows) {
      const int before = expert > 0 ? ends[expert - 1] : 0;
      return find_rows(a, expert, (entry - before) * kTileRows, kTileRows, ids, warp, warps, rows);
    }
    const int lane = lane_index();
    if (lane < count && lane % warps == warp) rows[lane] = sorted[begin + lane];
    return count;
  }

 private:
  // Turns counts into ends, and for rows into beginnings, which sort() moves to their ends. Returns
  // how many entries there are.
  __device__ int add_up(int experts) const {
    const int lane = lane_index();
    int entries = 0;
    int rows = 0;
    for (int first = 0; first < experts; first += device::kWarpThreads) {
      const int e = first + lane;
      const int own = e < experts ? ends[e] : 0;
      int entries_to = (own + kTileRows - 1) / kTileRows;
      int rows_to = own;
      for (int step = 1; step < device::kWarpThreads; step *= 2) {
        const int other_entries = __shfl_up_sync(kFullWarp, entries_to, step);
        const int other_rows = __shfl_up_sync(kFullWarp, rows_to, step);
        if (lane < step) continue;
        entries_to += other_entries;
        rows_to += other_rows;
      }
      if (e < experts) {
        ends[e] = entries + entries_to;
        row_ends[e] = rows + rows_to - own;
      }
      entries += __shfl_sync(kFullWarp, entries_to, device::kWarpThreads - 1);
      rows += __shfl_sync(kFullWarp, rows_to, device::kWarpThreads - 1);
    }
    return entries;
  }
};

}  // namespace glm::kernels::cuda
