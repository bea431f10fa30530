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
    const int share = (own + kBlocks) / kBlocks;  // of own + 1 positions
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
// by each warp; the token's own is not in memory yet.
template <int kChunks>
__device__ void start_rows(const Args& a, Shared& shared, const Range& range, int chunk,
                           std::uint32_t tiles) {
  const int row = lane_of() * kWarps + warp_of();
  const int own = chunk + row / kRows;
  const int at = row % kRows;
  if (own >= range.chunks() || row >= kChunks * kRows) return;
  const int stored = range.rows(own) - (range.has_own(own) ? 1 : 0);
  const std::uint32_t barrier = shared.barrier(kRowsCame + own % kStages);
  if (at == 0) {
    device::barrier_arrive_expecting(barrier, static_cast<unsigned>(stored) * kWidth * 2);
  }
  if (at < stored) {
    device::bulk_copy(tiles + static_cast<std::uint32_t>(own % kStages * kChunkBytes + at * kPitch),
                      a.rows.row(range.sequence, range.first + own * kRows + at), kWidth * 2,
                      barrier);
  }
}
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
