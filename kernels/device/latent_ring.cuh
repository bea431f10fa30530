// How absorbed latent attention with 512 threads gets cached rows into shared memory: a ring of
// half pages, each filled by all threads while earlier ones are read. One struct for each format of
// the pages.
//
//   Ring::start(stage, from, stride, seen)   copies of a half under way
//   Ring::decode(to, stage)                  by all threads, where a stage does not hold bf16
//
// Rows lie 16 bytes further apart than they are long, so that the same columns of neighbouring rows
// are in different banks. Rows nobody sees may hold anything, and 0 * NaN would be seen: they are
// zeros here.
#pragma once

#include "kernels/device/attention_source.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/tile_range.cuh"

namespace glm::kernels::device {

constexpr int kRingWidth = 576;
constexpr int kRingLatent = 512;
constexpr int kRingTile = kRowsOfPage;
constexpr int kRingHalf = kRingTile / 2;
constexpr int kRingPitch = kRingWidth * 2 + 16;  // bytes from row to row
constexpr int kRingStages = 5;                   // halves: two are read, three are under way
constexpr int kRingThreads = 512;

using RingRange = TileRange<kRingTile>;

// Copies of `kBytes` bytes a row, a warp each; zeros from row `seen` on.
template <int kBytes, int kPitch>
__device__ void copy_half(std::uint32_t to, const std::uint8_t* from, std::int64_t stride,
                          int seen) {
  constexpr int kWarps = kRingThreads / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int i = 0; i < kRingHalf / kWarps; ++i) {
    const int row = warp + i * kWarps;
    const bool valid = row < seen;
    const std::uint8_t* row_from = from + (valid ? row : 0) * stride + lane * 16;
    const std::uint32_t row_to = to + static_cast<std::uint32_t>(row * kPitch + lane * 16);
#pragma unroll
    for (int at = 0; at < kBytes; at += 32 * 16) {
      if (at + lane * 16 < kBytes) copy_async_16(row_to + at, row_from + at, valid);
    }
  }
}

// Rows are copied to where they are read.
struct PlainRing {
  using Source = PagedSource;
  static constexpr bool kDecodes = false;
  static constexpr int kStageBytes = kRingHalf * kRingPitch;
  static constexpr int kTileBytes = 0;
  static constexpr std::int64_t kElement = 2;

  __device__ static void start(std::uint32_t stage, const std::uint8_t* from, std::int64_t stride,
                               int seen) {
    copy_half<kRingWidth * 2, kRingPitch>(stage, from, stride, seen);
  }
};

// Records are decoded once for all heads, from a stage into a tile.
struct Fp8Ring {
  using Source = LatentSource;
  static constexpr bool kDecodes = true;
  static constexpr int kRopeAt = kRingLatent + kRingLatent / LatentRecord::kBlock * 4;
  static constexpr int kRecordBytes = kRopeAt + (kRingWidth - kRingLatent) * 2;
  static_assert(kRopeAt % 16 == 0 && kRecordBytes % 16 == 0);
  static constexpr int kStageBytes = kRingHalf * kRecordBytes;
  static constexpr int kTileBytes = kRingTile * kRingPitch;
  static constexpr std::int64_t kElement = 1;

  __device__ static void start(std::uint32_t stage, const std::uint8_t* from, std::int64_t stride,
                               int seen) {
    copy_half<kRecordBytes, kRecordBytes>(stage, from, stride, seen);
  }
  // Half a tile, by all threads. Records nobody sees are zeros, and so are their values.
  __device__ static void decode(std::uint8_t* to, const std::uint8_t* stage) {
    constexpr int kChunks = kRingLatent / 8;
    const int thread = static_cast<int>(threadIdx.x);
    const int chunk = thread % kChunks;
#pragma unroll
    for (int i = 0; i < kRingHalf * kChunks / kRingThreads; ++i) {
      const int row = i * (kRingThreads / kChunks) + thread / kChunks;
      const std::uint8_t* record = stage + row * kRecordBytes;
      const float scale =
          reinterpret_cast<const float*>(record + kRingLatent)[chunk * 8 / LatentRecord::kBlock];
      reinterpret_cast<uint4*>(to + row * kRingPitch)[chunk] =
          scaled_e4m3x8(reinterpret_cast<const uint2*>(record)[chunk], scale);
    }
    constexpr int kRopeChunks = (kRingWidth - kRingLatent) / 8;
    if (thread < kRingHalf * kRopeChunks) {
      const int row = thread / kRopeChunks;
      const int own = thread % kRopeChunks;
      reinterpret_cast<uint4*>(to + row * kRingPitch)[kChunks + own] =
          reinterpret_cast<const uint4*>(stage + row * kRecordBytes + kRopeAt)[own];
    }
  }
};

// Halves of a range in their order, and where they lie.
template <typename Ring>
class RingFiller {
 public:
  using Source = typename Ring::Source;

  __device__ RingFiller(std::uint32_t stages, const Source& source, const RingRange& range)
      : stages_(stages), source_(source), range_(range) {
    look_up();
  }

  __device__ static int stage_of(int half) { return half % kRingStages; }
  // Copies of the next half, as one group: groups count halves, also where none is left.
  __device__ void start_next() {
    const int half = next_;
    if (half < range_.count * 2) {
      Ring::start(stages_ + static_cast<std::uint32_t>(stage_of(half) * Ring::kStageBytes),
                  page_ + half % 2 * kRingHalf * row_bytes(), row_bytes(), seen(half));
    }
    copy_async_commit();
    ++next_;
    if (next_ % 2 == 0) look_up();
  }
  // Starts halves while there are fewer than `most`, and all their rows are before a position.
  __device__ void start_before(int position, int most) {
    while (next_ < most && next_ < range_.count * 2 && first(next_) + seen(next_) <= position) {
      start_next();
    }
    if (next_ < range_.count * 2) prefetch(position);
  }
  __device__ int started() const { return next_; }

 private:
  __device__ std::int64_t row_bytes() const { return source_.rows.place_stride * Ring::kElement; }
  __device__ int first(int half) const { return range_.first * kRingTile + half * kRingHalf; }
  __device__ int seen(int half) const {
    return max(0, min(kRingHalf, range_.visible - first(half)));
  }
  // The entry of the page table is read one page ahead.
  __device__ void look_up() {
    const int tile = next_ / 2;
    const std::int32_t* table =
        source_.rows.table + range_.sequence * source_.rows.table_stride + range_.first;
    if (tile == 0) entry_ = range_.count > 0 ? table[0] : 0;
    page_ = reinterpret_cast<const std::uint8_t*>(source_.rows.pages) +
            entry_ * source_.rows.page_stride * Ring::kElement;
    entry_ = tile + 1 < range_.count ? table[tile + 1] : 0;
  }
  // Rows before a position of the next half into the second-level cache, a thread each 128 bytes.
  __device__ void prefetch(int position) {
    constexpr int kThreadsOfRow = kRingThreads / kRingHalf;
    const int row = static_cast<int>(threadIdx.x) / kThreadsOfRow;
    const int at = static_cast<int>(threadIdx.x) % kThreadsOfRow * 128;
    if (row < position - first(next_) && at < kRingWidth * Ring::kElement) {
      const std::uint8_t* line = page_ + (next_ % 2 * kRingHalf + row) * row_bytes() + at;
      asm volatile("prefetch.global.L2 [%0];\n" ::"l"(line));
    }
  }

  std::uint32_t stages_;
  const Source& source_;
  const RingRange& range_;
  const std::uint8_t* page_ = nullptr;
  std::int64_t entry_ = 0;
  int next_ = 0;
};

}  // namespace glm::kernels::device
