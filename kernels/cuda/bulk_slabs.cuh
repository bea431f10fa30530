// What the blocks of product_bulk.cu work on, and how weights and activations come to shared
// memory.
//
// The rows of one expert, at most so many as a block holds at a time, are an entry; the slabs of
// all entries are one list, of which every block takes an equal part. Each block makes the list of
// entries for itself.
#pragma once

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {

constexpr unsigned kFullWarp = 0xFFFFFFFFU;
constexpr int kOctetsPerChunk = kChunk / 8;

__device__ inline int lane_index() {
  return static_cast<int>(threadIdx.x) % device::kWarpThreads;
}

// counts[e]: how many rows expert e has; ids: the expert of each row. By all threads of the block,
// which meet. Calls `wait` where the experts of rows have to be there.
template <class Wait>
__device__ void count_rows(const Product& a, int* counts, std::uint16_t* ids, const Wait& wait) {
  const int experts = static_cast<int>(a.groups);
  for (int e = static_cast<int>(threadIdx.x); e < experts; e += static_cast<int>(blockDim.x)) {
    counts[e] = 0;
  }
  __syncthreads();  // counts are zero
  wait();
  for (int i = static_cast<int>(threadIdx.x); i < a.rows; i += static_cast<int>(blockDim.x)) {
    const std::int32_t expert = __ldcg(a.row_group + i);
    ids[i] = static_cast<std::uint16_t>(expert);
    atomicAdd(&counts[expert], 1);
  }
  __syncthreads();  // all rows are counted
}

// ends[e]: how many entries experts up to e have. All threads of the block. Without experts, one
// that has all rows.
__device__ inline void list_entries(const Product& a, int entry_rows, int* ends,
                                    std::uint16_t* ids) {
  const int experts = static_cast<int>(a.groups);
  if (a.row_group == nullptr) {
    if (threadIdx.x == 0) ends[0] = (static_cast<int>(a.rows) + entry_rows - 1) / entry_rows;
    __syncthreads();  // the list is there
    return;
  }
  count_rows(a, ends, ids, [] {});
  if (threadIdx.x < device::kWarpThreads) {
    const int lane = lane_index();
    int before = 0;
    for (int first = 0; first < experts; first += device::kWarpThreads) {
      const int e = first + lane;
      int sum = e < experts ? (ends[e] + entry_rows - 1) / entry_rows : 0;
      for (int step = 1; step < device::kWarpThreads; step *= 2) {
        const int other = __shfl_up_sync(kFullWarp, sum, step);
        if (lane >= step) sum += other;
      }
      sum += before;
      if (e < experts) ends[e] = sum;
      before = __shfl_sync(kFullWarp, sum, device::kWarpThreads - 1);
    }
  }
  __syncthreads();  // the list is there
}

// By a whole warp.
__device__ inline int expert_of(int entry, const int* ends, int experts) {
  int expert = 0;
  for (int first = 0; first < experts; first += device::kWarpThreads) {
    const int e = first + lane_index();
    expert += __popc(__ballot_sync(kFullWarp, e < experts && ends[e] <= entry));
  }
  return expert;
}

// The slabs of this block.
struct Share {
  int begin;
  int end;
};

__device__ inline Share share_of_block(int total) {
  const auto edge = [&](unsigned block) {
    return static_cast<int>(static_cast<std::int64_t>(total) * block / gridDim.x);
  };
  return {edge(blockIdx.x), edge(blockIdx.x + 1)};
}

// Of lane l < kQuads * parts: one copy of every stage.
struct QuadCopy {
  const std::uint8_t* from;
  std::int64_t expert_bytes;
  std::int64_t slab_bytes;
  unsigned to;
  unsigned bytes;
};

template <bool kGated>
__device__ QuadCopy quad_copy(const Product& a, const BulkPlan& plan, int index) {
  const int part = index / kQuads;
  const int quad = index % kQuads;
  const bool second = quad >= kQuads / 2;
  const device::Weights& w = kGated && second ? a.up : a.weight;
  const void* bases[kBulkParts] = {w.first.data, w.first.scales, w.first.zeros};
  const std::int64_t strides[kBulkParts] = {w.data_bytes, w.scales_bytes, w.zeros_bytes};
  const int first_row = kQuadRows * (kGated ? quad % (kQuads / 2) : quad);
  QuadCopy copy = {};
#pragma unroll
  for (int p = 0; p < kBulkParts; ++p) {
    if (p != part) continue;
    copy = {
        .from = static_cast<const std::uint8_t*>(bases[p]) +
                static_cast<std::int64_t>(first_row) * plan.row[p],
        .expert_bytes = strides[p],
        .slab_bytes = static_cast<std::int64_t>(kGated ? kSlabRows / 2 : kSlabRows) * plan.row[p],
        .to = plan.at[p] + static_cast<unsigned>(quad) * plan.quad[p],
        .bytes = kQuadRows * plan.row[p]};
  }
  return copy;
}

// One of the warps that fill stages: slab i of the block goes to stage i % stages, by warp
// i % kFetchWarps of them.
template <bool kGated, int kParts>
__device__ void fill_stages(const Product& a, const BulkPlan& plan, const Share& share,
                            const int* ends, std::uint32_t stages, std::uint32_t full,
                            std::uint32_t empty, int warp) {
  constexpr int kCopies = kQuads * kParts;
  const int lane = lane_index();
  const QuadCopy copy = quad_copy<kGated>(a, plan, lane < kCopies ? lane : 0);
  const std::uint64_t policy = device::read_once_policy();
  const int experts = static_cast<int>(a.groups);
  const int first = share.begin + warp;
  if (first >= share.end) return;
  int entry = first / plan.slabs;
  int slab = first % plan.slabs;
  int expert = expert_of(entry, ends, experts);
  int stage = warp;
  unsigned parity = 1;  // of the round before: nothing to wait for in the first
  for (int at = first; at < share.end; at += kFetchWarps) {
    device::barrier_wait(empty + 8 * stage, parity);
    if (lane == 0) device::barrier_arrive_expecting(full + 8 * stage, plan.stage_copied);
    __syncwarp();  // bytes are announced
    if (lane < kCopies) {
      const std::uint8_t* from = copy.from + expert * copy.expert_bytes + slab * copy.slab_bytes;
      device::bulk_copy(stages + static_cast<unsigned>(stage) * plan.stage + copy.to, from,
                        copy.bytes, full + 8 * stage, policy);
    }
    stage += kFetchWarps;
    if (stage >= plan.stages) {
      stage -= plan.stages;
      parity ^= 1U;
    }
    slab += kFetchWarps;
    if (slab < plan.slabs) continue;
    for (; slab >= plan.slabs; slab -= plan.slabs) ++entry;
    expert = expert_of(entry, ends, experts);
  }
}

// Where octet `octet` of row `row` of a tile lies, in units of sixteen bytes. Lanes that write one
// row, and lanes that read one octet of each, find eight different groups of banks.
__device__ inline int octet_place(int row, int octet) {
  const int word = octet % 4;
  const int lane = 4 * row + octet % kOctetsPerChunk / 4;
  return (octet / kOctetsPerChunk * 4 + word) * device::kWarpThreads + (lane ^ (word % 2 * 4));
}

// Notes the rows of `expert` from number `first` on, at most rows_max; of those only every
// warps-th, which this warp will load. Returns how many there are.
__device__ inline int find_rows(const Product& a, int expert, int first, int rows_max,
                                const std::uint16_t* ids, int warp, int warps, std::int32_t* rows) {
  const int lane = lane_index();
  if (a.row_group == nullptr) {
    const int count = min(static_cast<int>(a.rows) - first, rows_max);
    for (int place = lane; place < count; place += device::kWarpThreads) {
      if (place % warps == warp) rows[place] = first + place;
    }
    return count;
  }
  int seen = 0;
  for (int i = lane; i - lane < a.rows && seen < first + rows_max; i += device::kWarpThreads) {
    const bool mine = i < a.rows && ids[i] == expert;
    const unsigned all = __ballot_sync(kFullWarp, mine);
    const int place = seen + __popc(all & ((1U << lane) - 1U)) - first;
    if (mine && place >= 0 && place < rows_max && place % warps == warp) rows[place] = i;
    seen += __popc(all);
  }
  return min(seen - first, rows_max);
}

// Brings the rows of an entry to shared memory; returns how many there are.
template <int kTiles>
__device__ int load_rows(const Product& a, int expert, int first, const std::uint16_t* ids,
                         int warp, int warps, std::int32_t* rows, uint4* activations) {
  const int lane = lane_index();
  const int count = find_rows(a, expert, first, kTiles * kTileRows, ids, warp, warps, rows);
  __syncwarp();  // the rows of this warp are known
  const int octets = static_cast<int>(a.inputs) / 8;
  // Two neighbouring octets are a sector, four pairs of them eight groups of banks.
  const int own = lane / 16 * 16 + lane / 2 % 4 * 4 + lane / 8 % 2 * 2 + lane % 2;
  for (int place = warp; place < count; place += warps) {
    const auto* x = reinterpret_cast<const uint4*>(x_row(a, rows[place], 0));
    uint4* tile = activations + place / kTileRows * (octets * kTileRows);
#pragma unroll 4
    for (int octet = own; octet < octets; octet += device::kWarpThreads) {
      tile[octet_place(place % kTileRows, octet)] = device::int4_order(__ldcg(x + octet));
    }
  }
  return count;
}

}  // namespace glm::kernels::cuda
