// How absorbed latent attention gets cached rows into shared memory: tile after tile of 32
// positions, as bf16, while later ones are under way. One class for each format of the pages.
//
//   Tiles tiles(shared, source, range);  starts the first copies
//   rows = tiles.take(0), take(1), …     every tile once, in order, by all threads of the block;
//                                        the tile before is not read any more
//   piece = tiles.fetch(step), tiles.put(step, piece)
//                                        after each take and before the next, for each of
//                                        kLatentSteps: the next tile, in the shadow of products
//
// Chunks of a row are swizzled as swizzled<kLatentWidth>. Rows nobody sees may hold anything, and
// 0 * NaN would be seen: they are zeros here.
#pragma once

#include "kernels/device/attention_source.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/tile_range.cuh"

namespace glm::kernels::device {

constexpr int kLatentWidth = 576;
constexpr int kLatentDim = 512;
constexpr int kLatentTile = 32;  // positions; divides a page
constexpr int kLatentThreads = 256;
constexpr int kLatentSteps = 9;

using LatentRange = TileRange<kLatentTile>;

// Plain pages: rows are copied to where they are read.
template <int kStages>
class PlainTiles {
 public:
  using Source = PagedSource;
  struct Shared {
    __nv_bfloat16 tiles[kStages][kLatentTile * kLatentWidth];
  };

  __device__ PlainTiles(Shared& shared, const Source& source, const LatentRange& range)
      : shared_(shared), source_(source), range_(range) {
    for (int tile = 0; tile < kStages - 1; ++tile) start(tile, range.place(source, tile));
    next_ = range.place(source, kStages - 1);
  }

  __device__ const __nv_bfloat16* take(int tile) {
    copy_async_wait<kStages - 2>();
    __syncthreads();  // the tile is here for all, and the one before it has been used
    start(tile + kStages - 1, next_);
    next_ = range_.place(source_, tile + kStages);
    return shared_.tiles[tile % kStages];
  }
  struct Piece {};
  __device__ Piece fetch(int /*step*/) const { return {}; }
  __device__ void put(int /*step*/, Piece /*piece*/) {}

 private:
  // Always commits a group, so that groups count tiles.
  __device__ void start(int tile, Source::Place from) {
    constexpr int kChunks = kLatentWidth / 8;
    if (tile < range_.count) {
      const std::uint32_t to = shared_address(shared_.tiles[tile % kStages]);
#pragma unroll
      for (int i = 0; i < kLatentTile * kChunks / kLatentThreads; ++i) {
        const int index = static_cast<int>(threadIdx.x) + i * kLatentThreads;
        const int row = index / kChunks;
        const int chunk = index % kChunks;
        copy_async_16(to + swizzled<kLatentWidth>(row, chunk),
                      source_.key(from, 0, chunk * 8) + row * source_.key_stride(0),
                      row < range_.rows(tile));
      }
    }
    copy_async_commit();
  }

  Shared& shared_;
  const Source& source_;
  const LatentRange& range_;
  Source::Place next_;  // looked up one tile ahead
};

// Pages of fp8 latents: records come as they are, and each is decoded once for all heads: the next
// tile's in steps where there is room for two tiles, otherwise when it is taken.
template <int kStages, int kTiles>
class Fp8Tiles {
  static constexpr bool kAhead = kTiles == 2;
  static_assert(kAhead ? kStages >= 2 : kTiles == 1);

 public:
  using Source = LatentSource;
  static constexpr int kRopeAt = kLatentDim + kLatentDim / LatentRecord::kBlock * 4;
  static constexpr int kRecordBytes = kRopeAt + (kLatentWidth - kLatentDim) * 2;
  static_assert(kRopeAt % 16 == 0 && kRecordBytes % 16 == 0);
  struct Shared {
    uint4 records[kStages][kLatentTile * kRecordBytes / 16];
    __nv_bfloat16 tiles[kTiles][kLatentTile * kLatentWidth];
  };

  __device__ Fp8Tiles(Shared& shared, const Source& source, const LatentRange& range)
      : shared_(shared), source_(source), range_(range) {
    for (int tile = 0; tile < kStages; ++tile) start(tile, range.place(source, tile));
    next_ = range.place(source, kStages);
    if constexpr (kAhead) {
      copy_async_wait<kStages - 1>();
      __syncthreads();  // the first records are here for all
      decode(0);
    }
  }

  __device__ const __nv_bfloat16* take(int tile) {
    if constexpr (kAhead) {
      copy_async_wait<kStages - 2>();
      __syncthreads();  // the tile is complete, the next one's records are here, and the tile
                        // before and this one's records have been used
      decoding_ = tile + 1;
    } else {
      copy_async_wait<kStages - 1>();
      __syncthreads();  // the records are here for all, and the tile before has been used
      decode(tile);
      __syncthreads();  // the tile is complete, and its records have been used
    }
    start(tile + kStages, next_);
    next_ = range_.place(source_, tile + kStages + 1);
    return shared_.tiles[tile % kTiles];
  }

  // Eight values, and what they are to be multiplied with.
  struct Piece {
    uint2 bytes;
    float scale;
  };
  __device__ Piece fetch(int step) const {
    return kAhead && step < kLatentPieces ? piece(decoding_, step) : Piece{};
  }
  __device__ void put(int step, Piece piece) {
    if (!kAhead) return;
    if (step < kLatentPieces) {
      store(decoding_, step, piece);
    } else {
      copy_rope(decoding_);
    }
  }

 private:
  // A warp takes half a latent at a time: neighbouring lanes read and write neighbouring banks.
  static constexpr int kRowsAtOnce = kLatentThreads * 8 / kLatentDim;
  static constexpr int kLatentPieces = kLatentTile / kRowsAtOnce;
  static_assert(kLatentPieces + 1 == kLatentSteps);

  __device__ static int chunk() { return static_cast<int>(threadIdx.x) % (kLatentDim / 8); }
  __device__ static int row(int step) {
    return step * kRowsAtOnce + static_cast<int>(threadIdx.x) / (kLatentDim / 8);
  }
  __device__ const std::uint8_t* record(int tile, int row) const {
    return reinterpret_cast<const std::uint8_t*>(shared_.records[tile % kStages]) +
           row * kRecordBytes;
  }
  __device__ uint4& target(int tile, int row, int chunk) {
    return *reinterpret_cast<uint4*>(reinterpret_cast<std::uint8_t*>(shared_.tiles[tile % kTiles]) +
                                     swizzled<kLatentWidth>(row, chunk));
  }

  // Always commits a group, so that groups count tiles.
  __device__ void start(int tile, Source::Place from) {
    constexpr int kChunks = kRecordBytes / 16;
    if (tile < range_.count) {
      const std::uint32_t to = shared_address(shared_.records[tile % kStages]);
      for (int index = static_cast<int>(threadIdx.x); index < kLatentTile * kChunks;
           index += kLatentThreads) {
        const int row = index / kChunks;
        copy_async_16(to + static_cast<std::uint32_t>(index * 16),
                      from + row * source_.rows.place_stride + index % kChunks * 16,
                      row < range_.rows(tile));
      }
    }
    copy_async_commit();
  }

  __device__ Piece piece(int tile, int step) const {
    const std::uint8_t* from = record(tile, row(step));
    return {.bytes = reinterpret_cast<const uint2*>(from)[chunk()],
            .scale = reinterpret_cast<const float*>(
                from + kLatentDim)[chunk() * 8 / LatentRecord::kBlock]};
  }
  __device__ void store(int tile, int step, const Piece& piece) {
    target(tile, row(step), chunk()) = scaled_e4m3x8(piece.bytes, piece.scale);
  }
  __device__ void copy_rope(int tile) {
    constexpr int kChunks = (kLatentWidth - kLatentDim) / 8;
    static_assert(kLatentTile * kChunks == kLatentThreads);
    const int row = static_cast<int>(threadIdx.x) / kChunks;
    const int chunk = static_cast<int>(threadIdx.x) % kChunks;
    target(tile, row, kLatentDim / 8 + chunk) =
        reinterpret_cast<const uint4*>(record(tile, row) + kRopeAt)[chunk];
  }
  __device__ void decode(int tile) {
#pragma unroll
    for (int step = 0; step < kLatentPieces; ++step) store(tile, step, piece(tile, step));
    copy_rope(tile);
  }

  Shared& shared_;
  const Source& source_;
  const LatentRange& range_;
  Source::Place next_;  // looked up one tile ahead
  int decoding_ = 0;
};

}  // namespace glm::kernels::device
