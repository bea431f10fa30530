// Every block looks through all ids for itself, so that one launch is enough: it counts the pairs
// of all experts, and finds the places of its own.
#include "kernels/cuda/moe_gather.h"

#include <algorithm>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/dealt_columns.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

// Few rows are gathered by blocks so small that they find room beside those of the shared expert's
// products in bf16, which have two warpgroups then. Of more rows those take all multiprocessors,
// and fewer and larger blocks look through the ids less often.
constexpr int kThreadsFew = 256;
constexpr int kThreadsMany = 512;
template <int kThreads>
constexpr int kBlocks = kThreads == kThreadsFew ? 6 : 2;  // of a multiprocessor
constexpr int kRowsFew = 48;                              // of an expert
constexpr int kRowsOfPart = 8;  // about, of the blocks that share few: one for each warp
constexpr int kParts = 4;       // of many
constexpr unsigned kFullWarp = 0xFFFFFFFFU;

__device__ int tiles_of(int rows, int tile_rows) {
  return (rows + tile_rows - 1) / tile_rows;
}

// What lies in front of an expert.
struct Front {
  int pairs = 0;
  int tiles = 0;
};

__device__ Front front_of(const std::int32_t* counts, int expert, int tile_rows) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  Front front;
  for (int e = lane; e < expert; e += device::kWarpThreads) {
    front.pairs += counts[e];
    front.tiles += tiles_of(counts[e], tile_rows);
  }
  front.pairs = __reduce_add_sync(kFullWarp, front.pairs);
  front.tiles = __reduce_add_sync(kFullWarp, front.tiles);
  return front;
}

// Whole blocks. The tiles of one expert, as even as they can be.
__device__ void list_tiles(const MoeGather& a, int expert, int count, const Front& front) {
  const int tiles = tiles_of(count, a.tile_rows);
  const int rows = tiles == 0 ? 0 : (count + tiles - 1) / tiles;
  for (int i = static_cast<int>(threadIdx.x); i < tiles; i += static_cast<int>(blockDim.x)) {
    const int first = i * rows;
    a.tiles[front.tiles + i] = {
        .group = expert, .first = front.pairs + first, .count = max(0, min(rows, count - first))};
  }
  if (expert == a.experts - 1 && threadIdx.x == 0) *a.tile_count = front.tiles + tiles;
}

// Four ids from `at`; -1 beyond the last.
__device__ int4 four_ids(const MoeGather& a, int at) {
  if (a.ids_in_fours && at + 4 <= a.pairs) return *reinterpret_cast<const int4*>(a.ids + at);
  const auto id = [&](int i) { return i < a.pairs ? a.ids[i] : -1; };
  return {id(at), id(at + 1), id(at + 2), id(at + 3)};
}

// Of each lane, what the lanes in front of it have in sum; and of all.
struct Scanned {
  int before;
  int all;
};
__device__ Scanned scan(int value) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  int sum = value;
#pragma unroll
  for (int offset = 1; offset < device::kWarpThreads; offset *= 2) {
    const int other = __shfl_up_sync(kFullWarp, sum, offset);
    if (lane >= offset) sum += other;
  }
  return {.before = sum - value, .all = __shfl_sync(kFullWarp, sum, device::kWarpThreads - 1)};
}

// blockIdx.x: the expert; blockIdx.y: which of its rows.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, kBlocks<kThreads>) gather_kernel(MoeGather a) {
  constexpr int kWarps = kThreads / device::kWarpThreads;
  constexpr int kAtOnce = kThreads == kThreadsFew ? 2 : 8;  // octets of a lane
  extern __shared__ std::int32_t counts[];                  // of all experts
  __shared__ std::int32_t found[kWarps];                    // pairs of this expert among a warp's
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int expert = static_cast<int>(blockIdx.x);
  const int part = static_cast<int>(blockIdx.y);
  const int parts = static_cast<int>(gridDim.y);
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kThreads) counts[e] = 0;
  __syncthreads();  // the counts are zero
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  // A thread has consecutive pairs.
  const int own_pairs = (a.pairs + 4 * kThreads - 1) / (4 * kThreads) * 4;
  const int begin = static_cast<int>(threadIdx.x) * own_pairs;
  int own = 0;
#pragma unroll 4
  for (int at = begin; at < begin + own_pairs; at += 4) {
    const int4 four = four_ids(a, at);
    const int ids[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (const int id : ids) {
      if (id >= 0 && id < a.experts) atomicAdd(&counts[id], 1);
      own += id == expert ? 1 : 0;
    }
  }
  const Scanned lanes = scan(own);
  if (lane == 0) found[warp] = lanes.all;
  __syncthreads();  // all counts are there
  const Front front = front_of(counts, expert, a.tile_rows);
  if (part == 0) list_tiles(a, expert, counts[expert], front);

  int place = lanes.before;
  for (int w = 0; w < warp; ++w) place += found[w];
  for (int i = begin; own > 0 && i < min(a.pairs, begin + own_pairs); ++i) {
    if (a.ids[i] != expert) continue;
    if (place % parts == part) a.sorted[front.pairs + place] = i;
    ++place;
  }
  __syncthreads();  // this block's places are there

  const int octets = a.hidden / 8;
  const std::int64_t x_octets = a.x_stride / 8;
  for (int place = part + warp * parts; place < counts[expert]; place += parts * kWarps) {
    const int row = front.pairs + place;
    const auto* from = static_cast<const uint4*>(a.x) + a.sorted[row] / a.chosen * x_octets;
    auto* to = static_cast<uint4*>(a.out) + static_cast<std::int64_t>(row) * octets;
    if (a.dealt) {
      // A sixteen of lanes has 128 columns: lanes 4q + w.
      const int dealt = lane / 16 * 16 + lane % 4 * 4 + lane / 4 % 4;
#pragma unroll kAtOnce
      for (int c = 0; c < octets; c += device::kWarpThreads) {
        const bool any = c + lane < octets;
        const uint4 octet = device::deal_columns(any ? from[c + lane] : uint4{}, lane);
        if (any) to[c + dealt] = octet;
      }
      continue;
    }
#pragma unroll kAtOnce
    for (int c = lane; c < octets; c += device::kWarpThreads) to[c] = from[c];
  }
}

}  // namespace

cudaError_t launch_moe_gather(MoeGather a, cudaStream_t stream) {
  a.ids_in_fours = aligned(a.ids);
  const int rows = (a.pairs + a.experts - 1) / a.experts;
  const bool few = rows <= kRowsFew;
  const int parts = few ? std::max(rows / kRowsOfPart, 1) : kParts;
  return launch_early({.grid = {static_cast<unsigned>(a.experts), static_cast<unsigned>(parts)},
                       .threads = static_cast<unsigned>(few ? kThreadsFew : kThreadsMany),
                       .shared_bytes = static_cast<std::size_t>(a.experts) * sizeof(std::int32_t)},
                      few ? &gather_kernel<kThreadsFew> : &gather_kernel<kThreadsMany>, stream, a);
}

}  // namespace glm::kernels::cuda
