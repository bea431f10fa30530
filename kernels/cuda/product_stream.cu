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
#include "kernels/cuda/product_stream.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace {

// Of a multiprocessor: what registers allow.
constexpr int blocks_at_once(int tiles) {
  return tiles == 1 ? 4 : tiles == 2 ? 3 : 2;
}

template <class Fetch, int kTiles, bool kGated>
__global__ void __launch_bounds__(kStreamWarpsMax* device::kWarpThreads, blocks_at_once(kTiles))
    stream_kernel(Product a) {
  __shared__ StreamSums<kTiles> partial;
  if (a.row_group != nullptr) device::wait_for_earlier_kernels();  // for the list of tiles
  const RowTile rows = block_tile(a, kTiles * kStreamTileRows);
  if (rows.count <= 0) return;
  StreamBlock<Fetch, kTiles, kGated> block(a, rows, blockIdx.x);
  block.begin();
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  StreamRows<kTiles> x;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const int n = tile * kStreamTileRows + static_cast<int>(threadIdx.x) % 32 / 4;
    x[tile] = n < rows.count ? x_row(a, tile_row(a, rows, n), rows.group) : nullptr;
  }
  block.multiply(x);
  block.store(partial);
}

// Fewer for experts, of which there are blocks enough: a warp then has more to read. Not by the
// number of rows, on which no result depends.
unsigned warps_for(const Product& a) {
  return a.row_group != nullptr ? kStreamWarpsMax / 2 : kStreamWarpsMax;
}

template <class Fetch, int kTiles, bool kGated>
cudaError_t launch_tiles_of(const Product& a, cudaStream_t stream) {
  return launch_early({.grid = product_grid(a, kStreamOutputs<kGated>, kTiles * kStreamTileRows),
                       .threads = warps_for(a) * device::kWarpThreads},
                      &stream_kernel<Fetch, kTiles, kGated>, stream, a);
}

// Tiles of a block at most: what costs much to read or to decode passes once for many rows.
constexpr int kTilesOfBf16 = 8;
constexpr int kTilesOfFourBits = 2;
constexpr int kTilesOfOthers = 4;

template <class Fetch, int kTilesMax>
cudaError_t launch(const Product& a, std::int64_t tiles, cudaStream_t stream) {
  if constexpr (kTilesMax > 1) {
    if (tiles < kTilesMax) return launch<Fetch, kTilesMax / 2>(a, tiles, stream);
  }
  return a.gated ? launch_tiles_of<Fetch, kTilesMax, true>(a, stream)
                 : launch_tiles_of<Fetch, kTilesMax, false>(a, stream);
}

bool is_coded(const Product& a) {
  return is_fast_int4(a) || is_half_int4(a) || is_fast_fp4(a);
}
bool is_plain(const Product& a) {
  return a.weight.first.coding == device::Coding::bf16 &&
         (!a.gated || a.up.first.coding == device::Coding::bf16);
}

}  // namespace

// Most experts of a few tokens have but a few of them.
std::int64_t stream_tile_rows(const Product& a) {
  if (a.row_group != nullptr) return a.rows <= 6 * a.groups ? kStreamTileRows : 2 * kStreamTileRows;
  const int tiles_max = is_coded(a)   ? kTilesOfFourBits
                        : is_plain(a) ? kTilesOfBf16
                                      : kTilesOfOthers;
  std::int64_t rows = kStreamTileRows;
  while (rows < a.rows && rows < tiles_max * kStreamTileRows) rows *= 2;
  return rows;
}

cudaError_t launch_stream(const Product& a, cudaStream_t stream) {
  const std::int64_t tiles = stream_tile_rows(a) / kStreamTileRows;
  if (is_fast_int4(a)) return launch<device::FetchInt4, kTilesOfFourBits>(a, tiles, stream);
  if (is_half_int4(a)) return launch<device::FetchInt4Half, kTilesOfFourBits>(a, tiles, stream);
  if (is_fast_fp4(a)) return launch<device::FetchFp4, kTilesOfFourBits>(a, tiles, stream);
  if (is_plain(a)) return launch<device::FetchBf16, kTilesOfBf16>(a, tiles, stream);
  if (is_fast_fp8(a)) return launch<device::FetchFp8, kTilesOfOthers>(a, tiles, stream);
  return launch<device::FetchAny, kTilesOfOthers>(a, tiles, stream);
}

}  // namespace glm::kernels::cuda
