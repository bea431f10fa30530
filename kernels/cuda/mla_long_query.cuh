// The query of mla_decode_long.cu: of the block's head q_b, what of it is turned, and W_UK, up to
// where all blocks can read it.
#pragma once

#include "kernels/cuda/mla_decode_query.cuh"
#include "kernels/cuda/mla_long_block.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda::mla_long {

// The compressed query, normed, by the first warps.
template <class Fetch>
__device__ void norm_query(const Args& a, Early& early, const uint4& norm) {
  const int thread = static_cast<int>(threadIdx.x);
  const uint4 x = device::read_octet(a.one.query + thread * 8);
  const float squares = device::warp_sum(device::octet_squares(x));
  if (lane_of() == 0) early.squares[warp_of()] = squares;
  device::sync_threads(mla_decode::kNormBarrier, mla_decode::kNormThreads);
  const float mean = ((early.squares[0] + early.squares[2]) + early.squares[1]) *
                     (1.0F / static_cast<float>(mla_decode::kQRank));
  early.normed[thread] = Fetch::arrange(device::octet_normed(x, norm, rsqrtf(mean + a.one.eps)));
}

// This block's numbers of the query from the sums of warps, by the first 64 threads; what of them
// is turned goes to memory.
__device__ inline void finish_query(const Args& a, Early& early, unsigned turn_of_meeting, int head,
                                    int rank, float unit) {
  const int i = static_cast<int>(threadIdx.x);
  float sum = 0;
#pragma unroll
  for (int p = 0; p < kQueryParts; ++p) sum += early.sums[p][i];
  const __nv_bfloat16 value = __float2bfloat16_rn(sum * unit);
  early.query[i] = value;
  // The other of a pair is in the same half of a warp.
  constexpr int kPairs = kOwnTurned / 2;
  const bool interleaved = a.one.turns.interleaved;
  const float x = __bfloat162float(value);
  const float y = __shfl_xor_sync(0xFFFFFFFFU, x, interleaved ? 1 : kPairs);
  const int own = i - kOwnNope;
  float turned = 0;
  if (own >= 0) {
    const bool first = interleaved ? own % 2 == 0 : own < kPairs;
    const float2 turn = early.turns[rank * kPairs + (interleaved ? own / 2 : own % kPairs)];
    const float other = __fmul_rn(y, turn.y);
    turned = __fmaf_rn(x, turn.x, first ? -other : other);
  }
  // Neighbours as one word.
  const float next = __shfl_down_sync(0xFFFFFFFFU, turned, 1);
  if (own < 0 || own % 2 != 0) return;
  const int at = interleaved ? rank * kOwnTurned + own
                             : rank * kPairs + own % kPairs + own / kPairs * (kTurned / 2);
  auto* to = reinterpret_cast<std::uint32_t*>(a.meeting->asked[turn_of_meeting][0][head]);
  to[(kRank + at) / 2] = device::bf16_pair(turned, next);
}
static_assert(kOwnQuery == 64 && kOwnNope == 48);

// W_UK's rows for the block's numbers of the query, by the warps that have no part of q_b: each
// has the latents of one block of the cluster.
template <class Octet>
class UnfoldWarp {
 public:
  __device__ void read(const Args& a, int head, int rank) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        parts_[c][k].read(a.one.kv_b, head * mla_decode::kHeadRows + rank * kOwnNope + k * 16,
                          target() * kOwnLatents + c * mla_decode::kUnfoldedColumns);
      }
    }
  }
  __device__ void decode(const Args& a) {
#pragma unroll
    for (auto& columns : parts_) {
#pragma unroll
      for (mla_decode::UnfoldedPart<Octet>& one : columns) one.decode(a.one.kv_b);
    }
  }
  // Sums are multiplied with `unit`. All columns of a product are the token, so that every lane has
  // its sums.
  __device__ void multiply_and_send(Shared& shared, Early& early, int rank, float unit) const {
    const auto* query = reinterpret_cast<const std::uint32_t*>(early.query) + lane_of() % 4;
    const std::uint32_t barrier = device::address_in(shared.barrier(kPartsCame), target());
    const float* own = early.parts[rank] + lane_of() / 4 * 8 + lane_of() % 4 * 4;
    const std::uint32_t to = device::address_in(device::shared_address(own), target());
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      float sums[4][4] = {};
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        const std::uint32_t inputs[2] = {query[k * 8], query[k * 8 + 4]};
        parts_[c][k].multiply(inputs, sums);
      }
      // Eight columns, by two of four lanes.
      const bool second = lane_of() % 2 == 1;
      const uint4 four = {__float_as_uint((second ? sums[2][0] : sums[0][0]) * unit),
                          __float_as_uint((second ? sums[2][2] : sums[0][2]) * unit),
                          __float_as_uint((second ? sums[3][0] : sums[1][0]) * unit),
                          __float_as_uint((second ? sums[3][2] : sums[1][2]) * unit)};
      if (lane_of() % 4 >= 2) continue;
      device::send_16(to + static_cast<unsigned>(c * mla_decode::kUnfoldedColumns * 4), four,
                      barrier);
    }
  }

 private:
  static constexpr int kColumns = mla_decode::kUnfoldColumns;
  static constexpr int kSteps = mla_decode::kUnfoldSteps;
  static_assert(kColumns * mla_decode::kUnfoldedColumns == kOwnLatents &&
                kWarps - kQueryWarps == kBlocks);
  __device__ static int target() {
    return warp_of() - kQueryWarps;
  }

  mla_decode::UnfoldedPart<Octet> parts_[kColumns][kSteps];
};

// The block's latents of its head's absorbed query to memory, two a thread.
__device__ inline void store_query(const Args& a, const Early& early, unsigned turn, int head,
                                   int rank) {
  const int pair = static_cast<int>(threadIdx.x);
  float2 four[kBlocks];
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    four[b] = *reinterpret_cast<const float2*>(&early.parts[b][2 * pair]);
  }
  const float2 sum = {(four[0].x + four[1].x) + (four[2].x + four[3].x),
                      (four[0].y + four[1].y) + (four[2].y + four[3].y)};
  auto* to = reinterpret_cast<std::uint32_t*>(a.meeting->asked[turn][0][head]);
  to[rank * kOwnLatents / 2 + pair] = device::bf16_pair(sum.x, sum.y);
}
constexpr int kStoreThreads = kOwnLatents / 2;

// Queries of all heads as they come, to where products read them; zeros of heads that are none.
class QueryTaker {
 public:
  __device__ explicit QueryTaker(const Args& a) : count_(a.heads * kOctets) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      to_[i] = groups::piece_at(groups::kHeadsBox, item(i) / kOctets, item(i) % kOctets);
      asm volatile("" : "+r"(to_[i]));  // found out before, not when they have come
    }
  }
  __device__ void take(const Args& a, unsigned char* to, unsigned turn) const {
    const uint4* const from = &a.meeting->asked[turn][0][0][threadIdx.x];
    uint4 octets[kHeld];
    device::await_together(
        octets, [&](int i) { return item(i) < count_; },
        [&](int i) { return from + i * kThreads; });
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (item(i) < groups::kHeads * kOctets) *reinterpret_cast<uint4*>(to + to_[i]) = octets[i];
    }
    device::shared_is_written();
  }

 private:
  static constexpr int kOctets = kWidth / 8;
  static constexpr int kHeld = (groups::kHeads * kOctets + kThreads - 1) / kThreads;
  __device__ static int item(int i) {
    return static_cast<int>(threadIdx.x) + i * kThreads;
  }

  int count_;
  std::uint32_t to_[kHeld];
};

}  // namespace glm::kernels::cuda::mla_long
