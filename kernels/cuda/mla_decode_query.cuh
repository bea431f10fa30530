// The queries of mla_decode.cu: q_b, what of it is turned, and W_UK, up to what other blocks get.
#pragma once

#include "kernels/cuda/mla_decode_block.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/weight_octet.cuh"

namespace glm::kernels::cuda::mla_decode {

// Rows of W_UK, sixteen at a time, by 64 columns: columns become the tile's rows.
template <class Octet>
class UnfoldedPart {
 public:
  __device__ void read(const device::Weight& w, std::int64_t first_row, int first_column) {
    const int column = first_column + lane_of() / 4 * 8;
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // rows pair, pair + 1, pair + 8, pair + 9
      const int row = 2 * (lane_of() % 4) + i % 2 + i / 2 * 8;
      octets_[i].read(w, first_row + row, static_cast<std::uint32_t>(column));
    }
  }
  __device__ void decode(const device::Weight& w) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      std::uint32_t columns[8];
      device::row_pairs(octets_[2 * half], octets_[2 * half + 1], w, columns);
#pragma unroll
      for (int i = 0; i < 8; ++i) pairs_[i / 2][2 * half + i % 2] = columns[i];
    }
    pin(pairs_);
  }
  // `inputs`: sixteen numbers of the query, of lanes that have the token. Sums of every fourth
  // lane, or of all if all have it: columns lane / 4 * 8 + 2m and the next are sums[m][0] and [2].
  __device__ void multiply(const std::uint32_t (&inputs)[2], float (&sums)[4][4]) const {
#pragma unroll
    for (int m = 0; m < 4; ++m) device::mma_16x8x16(sums[m], pairs_[m], inputs[0], inputs[1]);
  }

 private:
  Octet octets_[4];
  std::uint32_t pairs_[4][4];
};

// Row of q_b, within a head, of number `i` of this block's 64: after those that are not turned come
// pairs, as they lie for either kind of turning.
__device__ inline int query_row(const device::Turns& turns, int rank, int i) {
  if (i < kOwnNope) return rank * kOwnNope + i;
  const int own = i - kOwnNope;
  if (turns.interleaved) return kNope + rank * kOwnTurned + own;
  return kNope + rank * (kOwnTurned / 2) + own % (kOwnTurned / 2) +
         own / (kOwnTurned / 2) * (kTurned / 2);
}

// The products of q_b and W_UK up to what other blocks get of them.
template <class Fetch>
class QueryWarp {
 public:
  __device__ void read(const Args& a, int head, int rank) {
#pragma unroll
    for (int i = 0; i < kTilesOfWarp; ++i) {
      const int first = (tile() + i) * kTileRows + lane_of() / 4;
      parts_[i].read(a.q_b, head * kQuery + query_row(a.turns, rank, first),
                     head * kQuery + query_row(a.turns, rank, first + 8), part());
    }
  }
  __device__ void decode() {
#pragma unroll
    for (StoredPart<Fetch>& one : parts_) one.decode();
  }
  __device__ void multiply(Shared& shared) const {
    multiply_with([&](int c) { return has_token() ? shared.normed[c / 8] : uint4{}; },
                  [&](int part, int output, const float(&sums)[4]) {
                    leave_sums(shared.partial[part] + output, sums);
                  });
  }
  // `octet(c)`: columns [c, c + 8) of the lane's activation, arranged. `leave(part, output, sums)`:
  // of sixteen outputs from there on.
  template <typename OctetOf, typename Leave>
  __device__ void multiply_with(const OctetOf& octet, const Leave& leave) const {
#pragma unroll
    for (int i = 0; i < kTilesOfWarp; ++i) {
      float sums[4] = {};
      parts_[i].multiply(sums, [&](int c) { return octet(part() * kPart + c); });
      leave(part(), (tile() + i) * kTileRows, sums);
    }
  }

 private:
  __device__ static int part() {
    return warp_of() % kQueryParts;
  }
  __device__ static int tile() {
    return warp_of() / kQueryParts * kTilesOfWarp;
  }

  StoredPart<Fetch> parts_[kTilesOfWarp];
};

template <class Octet>
class UnfoldWarp {
 public:
  __device__ void read(const Args& a, int head, int rank) {
#pragma unroll
    for (int c = 0; c < kUnfoldColumns; ++c) {
#pragma unroll
      for (int k = 0; k < kUnfoldSteps; ++k) {
        parts_[c][k].read(a.kv_b, head * kHeadRows + rank * kOwnNope + k * 16, column(c));
      }
    }
  }
  __device__ void decode(const Args& a) {
#pragma unroll
    for (auto& columns : parts_) {
#pragma unroll
      for (UnfoldedPart<Octet>& one : columns) one.decode(a.kv_b);
    }
  }
  // To all blocks. Sums are multiplied with `unit`. All columns of a product are the token, so that
  // every lane has its sums, and sends them to some blocks.
  __device__ void multiply_and_send(Shared& shared, int own_head, int rank, float unit) const {
    std::uint32_t inputs[kUnfoldSteps][2];
#pragma unroll
    for (int k = 0; k < kUnfoldSteps; ++k) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        inputs[k][half] =
            reinterpret_cast<const std::uint32_t*>(shared.query)[k * 8 + lane_of() % 4 + 4 * half];
      }
    }
#pragma unroll
    for (int c = 0; c < kUnfoldColumns; ++c) {
      float sums[4][4] = {};
#pragma unroll
      for (int k = 0; k < kUnfoldSteps; ++k) parts_[c][k].multiply(inputs[k], sums);
      send(shared, shared.parts[own_head][rank] + column(c) + lane_of() / 4 * 8, sums, unit);
    }
  }

 private:
  // Eight columns, by four lanes.
  __device__ static void send(Shared& shared, const float* column, const float (&sums)[4][4],
                              float unit) {
    const std::uint32_t barrier = shared.barrier(kAbsorbedCame);
    const std::uint32_t to = device::shared_address(column);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float(&first)[4] = sums[2 * half];
      const float(&second)[4] = sums[2 * half + 1];
      const uint4 four = {__float_as_uint(first[0] * unit), __float_as_uint(first[2] * unit),
                          __float_as_uint(second[0] * unit), __float_as_uint(second[2] * unit)};
#pragma unroll
      for (int i = 0; i < kClusterBlocks / 4; ++i) {
        const int block = lane_of() % 4 + 4 * i;
        device::send_16(device::address_in(to + half * 16, block), four,
                        device::address_in(barrier, block));
      }
    }
  }
  static_assert(kClusterBlocks % 4 == 0);
  __device__ static int column(int c) {
    return ((warp_of() - kQueryWarps) * kUnfoldColumns + c) * kUnfoldedColumns;
  }
  UnfoldedPart<Octet> parts_[kUnfoldColumns][kUnfoldSteps];
};

// This block's numbers of the query, from the sums of warps; what of them is turned goes to all
// blocks. By the first 64 threads.
__device__ inline void finish_query(const Args& a, Shared& shared, int own_head, int rank,
                                    float unit) {
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
#pragma unroll
  for (int p = 0; p < kQueryParts; ++p) sum += shared.partial[p][i];
  device::store(shared.query + i, sum * unit);
  constexpr int kPairs = kOwnTurned / 2;
  if (warp_of() == 0) return;
  __syncwarp();
  __nv_bfloat16* turned = shared.query + kOwnNope;
  __nv_bfloat162 both = {};
  if (lane_of() < kPairs) {
    const int own = lane_of();
    const float2 turn = shared.turns[rank * kPairs + own];
    const float x = device::load(turned + (a.turns.interleaved ? 2 * own : own));
    const float y = device::load(turned + (a.turns.interleaved ? 2 * own + 1 : own + kPairs));
    both = {__float2bfloat16_rn(__fmaf_rn(x, turn.x, -__fmul_rn(y, turn.y))),
            __float2bfloat16_rn(__fmaf_rn(y, turn.x, __fmul_rn(x, turn.y)))};
  }
  __syncwarp();
  if (lane_of() < kPairs) {
    turned[a.turns.interleaved ? 2 * lane_of() : lane_of()] = both.x;
    turned[a.turns.interleaved ? 2 * lane_of() + 1 : lane_of() + kPairs] = both.y;
  }
  __syncwarp();
  // Two octets for all blocks; halves that lie apart in the whole are octets.
  if (lane_of() < 2 * kClusterBlocks) {
    const int octet = lane_of() % 2;
    const int block = lane_of() / 2;
    const int at =
        a.turns.interleaved ? rank * kOwnTurned + octet * 8 : rank * kPairs + octet * (kTurned / 2);
    const std::uint32_t to = device::shared_address(shared.absorbed[own_head] + kRank + at);
    device::send_16(device::address_in(to, block), reinterpret_cast<const uint4*>(turned)[octet],
                    device::address_in(shared.barrier(kAbsorbedCame), block));
  }
}
static_assert(kOwnQuery == 2 * kWarpThreads && kOwnTurned / 2 == 8);

}  // namespace glm::kernels::cuda::mla_decode
