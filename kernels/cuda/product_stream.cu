// For few rows: the time is that of the weights, which pass once, straight from memory into the
// registers of tensor cores. A block has the sixteen rows of weights of one tensor-core tile;
// gated, eight are gate and eight are up, so that both of an output meet in one lane. Its warps
// share out the columns and add their sums in a fixed order. Activations are the columns of the
// tile.
//
// Which columns a lane reads is free, as long as weights and activations agree: sixteen bytes in a
// row of either. The first weights are asked for before the kernel in front has ended: they depend
// on nothing (product.h).
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kWarpsMax = 8;
constexpr int kWeightRows = 16;
constexpr int kTileRows = 8;  // columns of a tensor-core tile

template <bool kGated>
constexpr int kOutputsOfBlock = kGated ? kWeightRows / 2 : kWeightRows;

// Of a multiprocessor: what registers allow.
constexpr int blocks_at_once(int tiles) {
  return tiles == 1 ? 4 : tiles == 2 ? 3 : 2;
}

template <class Fetch>
using Raw = typename Fetch::Raw;

// Where this lane's row of activations begins in each tile; null beyond the last.
template <int kTiles>
using Rows = const __nv_bfloat16* [kTiles];

// sums += 16 rows of weights * 8 * kTiles of activations, over the columns this lane has read,
// which begin at c. Nothing is read of activations beyond `inputs`.
template <class Fetch, int kTiles>
__device__ void multiply(const Raw<Fetch> (&weights)[2], const Rows<kTiles>& x, unsigned c,
                         unsigned inputs, float (&sums)[kTiles][4]) {
#pragma unroll
  for (int octet = 0; octet < Fetch::kColumns / 8; ++octet) {
    uint4 eights[kTiles];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const bool there = x[tile] != nullptr && c < inputs;
      eights[tile] =
          there ? Fetch::arrange(reinterpret_cast<const uint4*>(x[tile] + c)[octet]) : uint4{};
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int step = 2 * octet + half;
      const std::uint32_t a[4] = {
          Fetch::pair(weights[0], step, 0), Fetch::pair(weights[1], step, 0),
          Fetch::pair(weights[0], step, 1), Fetch::pair(weights[1], step, 1)};
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        device::mma_16x8x16(sums[tile], a, device::word_of(eights[tile], 2 * half),
                            device::word_of(eights[tile], 2 * half + 1));
      }
    }
  }
}

template <class Fetch, int kTiles, bool kGated>
__global__ void __launch_bounds__(kWarpsMax* device::kWarpThreads, blocks_at_once(kTiles))
    stream_kernel(Product a) {
  constexpr int kOutputs = kOutputsOfBlock<kGated>;
  constexpr int kInFlight = kTiles > 4 ? 1 : Fetch::kInFlight;  // the others need the registers
  constexpr unsigned kStep = 4 * Fetch::kColumns;               // columns a warp takes at a time
  __shared__ float partial[kWarpsMax][kTiles * kTileRows][kWeightRows + 1];

  if (a.row_group != nullptr) device::wait_for_earlier_kernels();  // for the list of tiles
  const RowTile rows = block_tile(a, kTiles * kTileRows);
  if (rows.count <= 0) return;
  const unsigned warps = blockDim.x / device::kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const std::int64_t first_output = static_cast<std::int64_t>(blockIdx.x) * kOutputs;
  const std::int64_t expert = a.row_group != nullptr ? rows.group : 0;
  const device::Weight weights[2] = {device::weight_at(a.weight, expert),
                                     device::weight_at(kGated ? a.up : a.weight, expert)};
  std::int64_t weight_rows[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t output = first_output + lane / 4 + (kGated ? 0 : 8 * half);
    // Outputs beyond the last compute that one again, and nobody stores it.
    weight_rows[half] =
        rows.group * a.weight_rows_per_group + (output < a.outputs ? output : a.outputs - 1);
  }

  const auto inputs = static_cast<unsigned>(a.inputs);
  const unsigned lane_column = static_cast<unsigned>(lane % 4) * Fetch::kColumns;
  Raw<Fetch> raw[kInFlight][2];
  const auto read_weights = [&](unsigned column) {
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const unsigned c = column + i * warps * kStep + lane_column;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        raw[i][half] = c < inputs ? Fetch::read(weights[half], weight_rows[half], c) : Raw<Fetch>{};
      }
    }
  };
  unsigned column = static_cast<unsigned>(warp) * kStep;
  read_weights(column);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  Rows<kTiles> x;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int n = tile * kTileRows + lane / 4;
    x[tile] = n < rows.count ? x_row(a, tile_row(a, rows, n), rows.group) : nullptr;
  }
  float sums[kTiles][4] = {};
  while (column < inputs) {
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const unsigned c = column + i * warps * kStep + lane_column;
      if (c - lane_column >= inputs) break;  // the same for the whole warp
      multiply<Fetch, kTiles>(raw[i], x, c, inputs, sums);
    }
    column += kInFlight * warps * kStep;
    if (column < inputs) read_weights(column);
  }

#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int n = tile * kTileRows + 2 * (lane % 4) + i % 2;
      partial[warp][n][lane / 4 + 8 * (i / 2)] = sums[tile][i];
    }
  }
  __syncthreads();  // the sums of all warps are there
  const float units[2] = {Fetch::unit(weights[0]), Fetch::unit(weights[1])};
  for (int at = static_cast<int>(threadIdx.x); at < rows.count * kOutputs; at += blockDim.x) {
    const int n = at / kOutputs;
    const int o = at % kOutputs;
    if (first_output + o >= a.outputs) continue;
    const auto total = [&](int weight_row) {
      float sum = 0;
      for (unsigned w = 0; w < warps; ++w) sum += partial[w][n][weight_row];
      return sum;
    };
    const float first = total(o) * units[0];
    const float value =
        kGated ? silu(first) * (total(o + kOutputs % kWeightRows) * units[1]) : first;
    put(a, tile_row(a, rows, n), rows.group, first_output + o, value);
  }
}

// Fewer for experts, of which there are blocks enough: a warp then has more to read. Not by the
// number of rows, on which no result depends.
unsigned warps_for(const Product& a) {
  return a.row_group != nullptr ? kWarpsMax / 2 : kWarpsMax;
}

template <class Fetch, int kTiles, bool kGated>
cudaError_t launch_tiles_of(const Product& a, cudaStream_t stream) {
  return launch_early({.grid = product_grid(a, kOutputsOfBlock<kGated>, kTiles * kTileRows),
                       .threads = warps_for(a) * device::kWarpThreads},
                      &stream_kernel<Fetch, kTiles, kGated>, stream, a);
}

// Tiles of a block at most: what costs much to read or to decode passes once for many rows.
constexpr int kTilesOfBf16 = 8;
constexpr int kTilesOfInt4 = 2;
constexpr int kTilesOfOthers = 4;

template <class Fetch, int kTilesMax>
cudaError_t launch(const Product& a, std::int64_t tiles, cudaStream_t stream) {
  if constexpr (kTilesMax > 1) {
    if (tiles < kTilesMax) return launch<Fetch, kTilesMax / 2>(a, tiles, stream);
  }
  return a.gated ? launch_tiles_of<Fetch, kTilesMax, true>(a, stream)
                 : launch_tiles_of<Fetch, kTilesMax, false>(a, stream);
}

bool is_plain(const Product& a) {
  return a.weight.first.coding == device::Coding::bf16 &&
         (!a.gated || a.up.first.coding == device::Coding::bf16);
}

}  // namespace

// Most experts of a few tokens have but a few of them.
std::int64_t stream_tile_rows(const Product& a) {
  if (a.row_group != nullptr) return a.rows <= 6 * a.groups ? kTileRows : 2 * kTileRows;
  const int tiles_max = is_fast_int4(a) ? kTilesOfInt4
                        : is_plain(a)   ? kTilesOfBf16
                                        : kTilesOfOthers;
  std::int64_t rows = kTileRows;
  while (rows < a.rows && rows < tiles_max * kTileRows) rows *= 2;
  return rows;
}

cudaError_t launch_stream(const Product& a, cudaStream_t stream) {
  const std::int64_t tiles = stream_tile_rows(a) / kTileRows;
  if (is_fast_int4(a)) return launch<device::FetchInt4, kTilesOfInt4>(a, tiles, stream);
  if (is_fast_fp4(a)) return launch<device::FetchFp4, kTilesOfOthers>(a, tiles, stream);
  if (is_plain(a)) return launch<device::FetchBf16, kTilesOfBf16>(a, tiles, stream);
  return launch<device::FetchAny, kTilesOfOthers>(a, tiles, stream);
}

}  // namespace glm::kernels::cuda
