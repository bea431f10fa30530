// The cached rows of mla_decode.cu: which a block reads, how they get into shared memory, and how
// the token's own is made.
#pragma once

#include "kernels/cuda/mla_decode_block.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda::mla_decode {

// Cached rows of this block: [first, first + count) of those the token sees, kRows at a time.
struct Range {
  int sequence;
  int own;  // position of the token
  int first;
  int count;

  __device__ static Range of(const Args& a, int token, int rank) {
    const int own = a.turns.positions[token];
    const int share = (own + kClusterBlocks) / kClusterBlocks;  // of own + 1 positions
    const int first = min(rank * share, own + 1);
    return {.sequence = a.sequences[token],
            .own = own,
            .first = first,
            .count = min(share, own + 1 - first)};
  }
  __device__ bool has_own() const { return count > 0 && first + count > own; }
  __device__ int chunks() const { return (count + kRows - 1) / kRows; }
  __device__ int rows(int chunk) const { return min(kRows, count - chunk * kRows); }
  // Whether the token's own row is the last of the chunk.
  __device__ bool has_own(int chunk) const { return first + chunk * kRows + rows(chunk) > own; }
};

// Copies of the rows of a chunk, or of the first chunks, as many as there is room for: a few rows
// by each warp; the token's own is not in memory yet. Where a thread's row lies is looked up first:
// it takes a while.
template <int kChunks>
class RowCopy {
 public:
  __device__ RowCopy(const Args& a, const Range& range, int chunk)
      : chunk_(chunk + row() / kRows),
        there_(row() < kChunks * kRows && chunk_ < range.chunks()),
        stored_(there_ ? range.rows(chunk_) - (range.has_own(chunk_) ? 1 : 0) : 0) {
    if (at() < stored_) page_ = a.rows.page(range.sequence, position(range));
  }
  __device__ void start(const Args& a, Shared& shared, const Range& range,
                        std::uint32_t tiles) const {
    if (!there_) return;
    const std::uint32_t barrier = shared.barrier(kRowsCame + chunk_ % kStages);
    if (at() == 0) {
      device::barrier_arrive_expecting(barrier, static_cast<unsigned>(stored_) * kWidth * 2);
    }
    if (at() < stored_) {
      const int to = chunk_ % kStages * kChunkBytes + at() * kPitch;
      device::bulk_copy(tiles + static_cast<std::uint32_t>(to),
                        a.rows.row_of_page(page_, position(range)), kWidth * 2, barrier);
    }
  }

 private:
  __device__ static int row() { return lane_of() * kWarps + warp_of(); }
  __device__ static int at() { return row() % kRows; }
  __device__ int position(const Range& range) const { return range.first + chunk_ * kRows + at(); }

  int chunk_;
  bool there_;
  int stored_;
  std::int32_t page_ = 0;
};
static_assert(kStages * kRows <= kThreads);

// Of rows that nobody sees, up to a whole tensor-core tile: 0 * NaN would be seen.
__device__ inline void zero_rows(unsigned char* tile, int count) {
  constexpr int kVectors = kPitch / 16;
  if (count >= kRows) return;
  const int end = (count + 15) / 16 * 16 * kVectors;
#pragma unroll 1
  for (int at = count * kVectors + static_cast<int>(threadIdx.x); at < end; at += kThreads) {
    reinterpret_cast<uint4*>(tile)[at] = uint4{};
  }
}

// The cached row of a token, by one warp, in the roundings and the order of sums of
// normed_product.cu. `turns`: of all pairs.
__device__ inline void make_row(const Args& a, int token, const float2* turns, __nv_bfloat16* to) {
  const __nv_bfloat16* row = a.row + token * a.row_stride;
  const auto column = [](int i) { return (lane_of() + i * kWarpThreads) * 8; };
  uint4 latent[2];
  uint4 weight[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    latent[i] = device::read_octet(row + column(i));
    weight[i] = device::read_octet(a.kv_norm + column(i));
  }
  a.turns.apply(to + kRank, row + kRank, lane_of(), turns[lane_of()]);
  const float first = device::warp_sum(device::octet_squares(latent[0]));
  const float second = device::warp_sum(device::octet_squares(latent[1]));
  const float scale = 1.0F / sqrtf((first + second) / static_cast<float>(kRank) + a.eps);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    device::write_octet(to + column(i), device::octet_normed(latent[i], weight[i], scale));
  }
}
static_assert(kTurned / 2 == kWarpThreads && kRank == 2 * 8 * kWarpThreads);

}  // namespace glm::kernels::cuda::mla_decode
