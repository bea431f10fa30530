// A block has consecutive rows of the result, as many as any other, whosever they are. It looks
// through all ids for itself, so that one launch is enough: it counts the pairs of all experts, and
// finds its own among those of the few experts that its rows belong to.
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
// and larger blocks look through the ids faster.
constexpr int kThreadsFew = 256;
constexpr int kThreadsMany = 512;
template <int kThreads>
constexpr int kBlocks = kThreads == kThreadsFew ? 5 : 2;  // of a multiprocessor
constexpr int kRowsFew = 48;                              // of an expert
constexpr int kBlocksMost = 256;                          // of many rows, each with more
constexpr int kAtOnce = 8;                                // octets of a lane
constexpr unsigned kFullWarp = 0xFFFFFFFFU;

// Of a block.
struct Rows {
  int begin;
  int end;
  __device__ bool have(int row) const { return row >= begin && row < end; }
};

__device__ int warp_of_block() {
  return static_cast<int>(threadIdx.x) / device::kWarpThreads;
}
__device__ int lane_of_warp() {
  return static_cast<int>(threadIdx.x) % device::kWarpThreads;
}

// Of each lane, what the lanes in front of it have in sum; and of all.
struct Scanned {
  int before;
  int all;
};
__device__ Scanned scan(int value) {
  const int lane = lane_of_warp();
  int sum = value;
#pragma unroll
  for (int offset = 1; offset < device::kWarpThreads; offset *= 2) {
    const int other = __shfl_up_sync(kFullWarp, sum, offset);
    if (lane >= offset) sum += other;
  }
  return {.before = sum - value, .all = __shfl_sync(kFullWarp, sum, device::kWarpThreads - 1)};
}

// By a warp: ends[e], how many rows experts up to e have.
__device__ void add_up(const std::int32_t* counts, int experts, std::int32_t* ends) {
  int before = 0;
  for (int first = 0; first < experts; first += device::kWarpThreads) {
    const int e = first + lane_of_warp();
    const int count = e < experts ? counts[e] : 0;
    const Scanned rows = scan(count);
    if (e < experts) ends[e] = before + rows.before + count;
    before += rows.all;
  }
}

// By a warp: the expert that has this row.
__device__ int expert_of(const std::int32_t* ends, int experts, int row) {
  int expert = 0;
  for (int first = 0; first < experts; first += device::kWarpThreads) {
    const int e = first + lane_of_warp();
    expert += __popc(__ballot_sync(kFullWarp, e < experts && ends[e] <= row));
  }
  return expert;
}

// By a warp: the tiles of experts whose first row is one of these, as even as they can be.
__device__ void list_tiles(const MoeGather& a, const std::int32_t* counts, const Rows& own) {
  int rows_before = 0;
  int tiles_before = 0;
  for (int first = 0; first < a.experts; first += device::kWarpThreads) {
    const int e = first + lane_of_warp();
    const int count = e < a.experts ? counts[e] : 0;
    const int tiles = (count + a.tile_rows - 1) / a.tile_rows;
    const Scanned rows = scan(count);
    const Scanned all_tiles = scan(tiles);
    const int first_row = rows_before + rows.before;
    if (tiles > 0 && own.have(first_row)) {
      const int each = (count + tiles - 1) / tiles;
      for (int i = 0; i < tiles; ++i) {
        a.tiles[tiles_before + all_tiles.before + i] = {
            .group = e,
            .first = first_row + i * each,
            .count = max(0, min(each, count - i * each))};
      }
    }
    rows_before += rows.all;
    tiles_before += all_tiles.all;
  }
  if (own.begin == 0 && lane_of_warp() == 0) *a.tile_count = tiles_before;
}

// Four ids from `at`; -1 beyond the last.
__device__ int4 four_ids(const MoeGather& a, int at) {
  if (a.ids_in_fours && at + 4 <= a.pairs) return *reinterpret_cast<const int4*>(a.ids + at);
  const auto id = [&](int i) { return i < a.pairs ? a.ids[i] : -1; };
  return {id(at), id(at + 1), id(at + 2), id(at + 3)};
}

// Calls `each(pair, id)` for consecutive pairs, this thread's share of all.
template <class Each>
__device__ void go_through_ids(const MoeGather& a, const Each& each) {
  const int threads = static_cast<int>(blockDim.x);
  const int own = (a.pairs + 4 * threads - 1) / (4 * threads) * 4;
  const int begin = static_cast<int>(threadIdx.x) * own;
#pragma unroll 2
  for (int at = begin; at < begin + own; at += 4) {
    const int4 four = four_ids(a, at);
    const int ids[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (ids[i] >= 0) each(at + i, ids[i]);
    }
  }
}

// By a whole block: which pairs of an expert, whose first row of all is `first`, are among these.
template <int kWarps>
__device__ void find_pairs(const MoeGather& a, int expert, int first, const Rows& own,
                           std::int32_t (&found)[kWarps], std::int32_t* pairs) {
  const int warp = warp_of_block();
  int count = 0;
  go_through_ids(a, [&](int /*pair*/, int id) { count += id == expert ? 1 : 0; });
  const Scanned lanes = scan(count);
  if (lane_of_warp() == 0) found[warp] = lanes.all;
  __syncthreads();  // what all warps have
  int row = first + lanes.before;
  for (int w = 0; w < warp; ++w) row += found[w];
  if (count > 0) {
    go_through_ids(a, [&](int pair, int id) {
      if (id != expert) return;
      if (own.have(row)) {
        pairs[row - own.begin] = pair;
        a.sorted[row] = pair;
      }
      ++row;
    });
  }
  __syncthreads();  // pairs are there, and what warps have has been read
}

// By a warp.
__device__ void copy_row(const MoeGather& a, const uint4* from, uint4* to) {
  const int lane = lane_of_warp();
  const int octets = a.hidden / 8;
  if (!a.dealt) {
#pragma unroll kAtOnce
    for (int c = lane; c < octets; c += device::kWarpThreads) to[c] = from[c];
    return;
  }
  // A sixteen of lanes has 128 columns: lanes 4q + w.
  const int dealt = lane / 16 * 16 + lane % 4 * 4 + lane / 4 % 4;
  for (int first = 0; first < octets; first += kAtOnce * device::kWarpThreads) {
    uint4 held[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int c = first + i * device::kWarpThreads + lane;
      held[i] = c < octets ? from[c] : uint4{};
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int c = first + i * device::kWarpThreads;
      const uint4 octet = device::deal_columns(held[i], lane);
      if (c + lane < octets) to[c + dealt] = octet;
    }
  }
}

// Each block has `rows`, or what is left.
template <int kThreads>
__global__ void __launch_bounds__(kThreads, kBlocks<kThreads>)
    gather_kernel(MoeGather a, std::int32_t rows) {
  constexpr int kWarps = kThreads / device::kWarpThreads;
  extern __shared__ std::int32_t counts[];  // of all experts
  __shared__ std::int32_t found[kWarps];
  std::int32_t* ends = counts + a.experts;
  std::int32_t* pairs = ends + a.experts;
  const int warp = warp_of_block();
  const int begin = static_cast<int>(blockIdx.x) * rows;
  const Rows own{.begin = begin, .end = min(begin + rows, a.pairs)};
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kThreads) counts[e] = 0;
  __syncthreads();  // the counts are zero
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  go_through_ids(a, [&](int /*pair*/, int id) {
    if (id < a.experts) atomicAdd(&counts[id], 1);
  });
  __syncthreads();  // all counts are there
  if (warp == 0) add_up(counts, a.experts, ends);
  if (warp == 1) list_tiles(a, counts, own);
  __syncthreads();  // the ends are there
  for (int e = expert_of(ends, a.experts, own.begin); e < a.experts; ++e) {
    const int first = ends[e] - counts[e];
    if (first >= own.end) break;
    if (counts[e] > 0) find_pairs(a, e, first, own, found, pairs);
  }

  const std::int64_t octets = a.hidden / 8;
  const int end = min(own.end, ends[a.experts - 1]);
  for (int row = own.begin + warp; row < end; row += kWarps) {
    copy_row(a,
             static_cast<const uint4*>(a.x) + pairs[row - own.begin] / a.chosen * (a.x_stride / 8),
             static_cast<uint4*>(a.out) + row * octets);
  }
}

}  // namespace

cudaError_t launch_moe_gather(MoeGather a, cudaStream_t stream) {
  a.ids_in_fours = aligned(a.ids);
  const bool few = a.pairs <= kRowsFew * a.experts;
  const int threads = few ? kThreadsFew : kThreadsMany;
  const int warps = threads / static_cast<int>(device::kWarpThreads);
  const std::int32_t rows = std::max(warps, (a.pairs + kBlocksMost - 1) / kBlocksMost);
  const auto numbers = static_cast<std::size_t>(2 * a.experts + rows);
  return launch_early({.grid = static_cast<unsigned>((a.pairs + rows - 1) / rows),
                       .threads = static_cast<unsigned>(threads),
                       .shared_bytes = numbers * sizeof(std::int32_t)},
                      few ? &gather_kernel<kThreadsFew> : &gather_kernel<kThreadsMany>, stream, a,
                      rows);
}

}  // namespace glm::kernels::cuda
