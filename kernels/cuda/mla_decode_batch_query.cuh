// The queries of mla_decode_batch.cu: of the block's head and all tokens, q_b, what of it is
// turned, and W_UK, up to where all blocks can read them.
#pragma once

#include "kernels/cuda/mla_decode_batch_block.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda::mla_batch {

// Which place of the queries is this launch's.
__device__ inline unsigned turn_of(const Args& a) {
  return *static_cast<const volatile std::uint32_t*>(&a.meeting->turn);
}

// A tile's sums, of all tokens, to where threads have outputs: to[token * pitch + output].
__device__ inline void leave_sums(float* to, int pitch, const float (&sums)[4]) {
  float* at = to + lane_of() % 4 * 2 * pitch + lane_of() / 4;
  at[0] = sums[0];
  at[pitch] = sums[1];
  at[8] = sums[2];
  at[pitch + 8] = sums[3];
}

// The compressed queries of all tokens, normed, by the query warps: three of them have a token.
template <class Fetch>
class Norming {
 public:
  __device__ explicit Norming(const Args& a) {
    weight_ = device::read_octet(a.one.q_norm + column());
  }
  __device__ void read(const Args& a) {
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      x_[i] = uint4{};
      if (token(i) < a.tokens) {
        x_[i] = device::read_octet(a.one.query + token(i) * a.one.query_stride + column());
      }
    }
  }
  __device__ void norm(const Args& a, Shared& shared, Asking& asking) const {
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const float squares = device::warp_sum(device::octet_squares(x_[i]));
      if (lane_of() == 0) shared.squares[token(i)][warp_of() % kWarpsOfToken] = squares;
    }
    device::sync_threads(mla_decode::kNormBarrier, kQueryWarps * device::kWarpThreads);
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const float(&squares)[kWarpsOfToken] = shared.squares[token(i)];
      const float mean =
          ((squares[0] + squares[2]) + squares[1]) * (1.0F / static_cast<float>(kQRank));
      auto* to = reinterpret_cast<uint4*>(asking.normed + token(i) * kNormedPitch);
      to[column() / 8] =
          Fetch::arrange(device::octet_normed(x_[i], weight_, rsqrtf(mean + a.one.eps)));
    }
    device::sync_threads(mla_decode::kQueryBarrier, kQueryWarps * device::kWarpThreads);
  }

 private:
  static constexpr int kWarpsOfToken = mla_decode::kNormThreads / device::kWarpThreads;
  static constexpr int kAtOnce = kQueryWarps / kWarpsOfToken;
  static constexpr int kRounds = kTokens / kAtOnce;
  static_assert(kWarpsOfToken == 3 && kAtOnce * kWarpsOfToken == kQueryWarps &&
                kRounds * kAtOnce == kTokens);
  __device__ static int token(int round) {
    return round * kAtOnce + warp_of() / kWarpsOfToken;
  }
  __device__ static int column() {
    return (warp_of() % kWarpsOfToken * device::kWarpThreads + lane_of()) * 8;
  }
  uint4 weight_;
  uint4 x_[kRounds];
};

template <class Fetch>
__device__ void multiply_queries(const mla_decode::QueryWarp<Fetch>& part, Asking& asking) {
  const auto* x = reinterpret_cast<const uint4*>(asking.normed + lane_of() / 4 * kNormedPitch);
  part.multiply_with([&](int c) { return x[c / 8]; },
                     [&](int part, int output, const float(&sums)[4]) {
                       leave_sums(&asking.sums[part][0][output], kOwnQuery, sums);
                     });
}

// How the pairs of this block are turned, of all tokens: by the warps that have no part of q_b.
__device__ inline void find_turns(const Args& a, Shared& shared, int rank) {
  constexpr int kPairs = kOwnTurned / 2;
  const int at = static_cast<int>(threadIdx.x) - kQueryWarps * device::kWarpThreads;
  const int token = at / kPairs;
  if (token >= a.tokens) return;
  shared.turns[token][at % kPairs] = a.one.turns.turn(token, rank * kPairs + at % kPairs);
}
static_assert((kWarps - kQueryWarps) * device::kWarpThreads >= kTokens * kOwnTurned / 2);

// Numbers of the query from the sums of warps, a thread each; what of them is turned goes to
// memory.
__device__ inline void finish_query(const Args& a, Shared& shared, const Asking& asking,
                                    unsigned turn_of_meeting, int head, int rank, float unit) {
  constexpr int kPairs = kOwnTurned / 2;
  const bool interleaved = a.one.turns.interleaved;
  const int token = static_cast<int>(threadIdx.x) / kOwnQuery;
  const int i = static_cast<int>(threadIdx.x) % kOwnQuery;
  float sum = 0;
#pragma unroll
  for (int p = 0; p < kQueryParts; ++p) sum += asking.sums[p][token][i];
  const __nv_bfloat16 value = __float2bfloat16_rn(sum * unit);
  if (i < kOwnNope) {
    reinterpret_cast<__nv_bfloat16*>(shared.query + token * kOwnQueryPitch)[i] = value;
  }
  // The other of a pair is in the same half of a warp.
  const float x = __bfloat162float(value);
  const float y = __shfl_xor_sync(0xFFFFFFFFU, x, interleaved ? 1 : kPairs);
  const int own = i - kOwnNope;
  float turned = 0;
  if (own >= 0) {
    const bool first = interleaved ? own % 2 == 0 : own < kPairs;
    const float2 turn = shared.turns[token][interleaved ? own / 2 : own % kPairs];
    const float other = __fmul_rn(y, turn.y);
    turned = __fmaf_rn(x, turn.x, first ? -other : other);
  }
  // Neighbours as one word.
  const float next = __shfl_down_sync(0xFFFFFFFFU, turned, 1);
  if (own < 0 || own % 2 != 0 || token >= a.tokens) return;
  const int at = interleaved ? rank * kOwnTurned + own
                             : rank * kPairs + own % kPairs + own / kPairs * (kTurned / 2);
  auto* to = reinterpret_cast<std::uint32_t*>(a.meeting->asked[turn_of_meeting][token][head]);
  to[(kRank + at) / 2] = device::bf16_pair(turned, next);
}
static_assert(kOwnQuery == 64 && kOwnNope == 48 && kThreads == kTokens * kOwnQuery);

// What is not turned of this block's numbers, to all blocks, sixteen bytes a thread.
__device__ inline void send_query(const Args& a, Shared& shared, Asking& asking, int rank) {
  constexpr int kOctets = kOwnNope / 8;
  static_assert(kTokens * kOctets * kBlocks <= kQueryWarps * device::kWarpThreads);
  const int item = static_cast<int>(threadIdx.x) / kBlocks;
  const int block = static_cast<int>(threadIdx.x) % kBlocks;
  const int token = item / kOctets;
  const int octet = item % kOctets;
  if (token >= a.tokens) return;
  const unsigned char* to = asking.query + token * kQueryPitch + rank * kOwnNope * 2 + octet * 16;
  device::send_16(
      device::address_in(device::shared_address(to), block),
      *reinterpret_cast<const uint4*>(shared.query + token * kOwnQueryPitch + octet * 16),
      device::address_in(shared.barrier(kQueryCame), block));
}

// W_UK of the block's latents, by the warps that have no part of q_b: two have half of its rows
// each for the same columns.
template <class Octet>
class UnfoldWarp {
 public:
  __device__ void read(const Args& a, int head, int rank) {
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      parts_[k].read(a.one.kv_b, head * mla_decode::kHeadRows + (half() * kSteps + k) * 16,
                     rank * kOwnLatents + column());
    }
  }
  __device__ void decode(const Args& a) {
#pragma unroll
    for (mla_decode::UnfoldedPart<Octet>& part : parts_) part.decode(a.one.kv_b);
  }
  // Sums are multiplied with `unit`.
  __device__ void multiply_and_store(const Args& a, Asking& asking, unsigned turn, int head,
                                     int rank, float unit) const {
    const auto* query =
        reinterpret_cast<const std::uint32_t*>(asking.query + lane_of() / 4 * kQueryPitch) +
        half() * kSteps * 8 + lane_of() % 4;
    float sums[4][4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      const std::uint32_t inputs[2] = {query[k * 8], query[k * 8 + 4]};
      parts_[k].multiply(inputs, sums);
    }
    float4(&others)[4][device::kWarpThreads] = asking.halves[column() / kColumnsOfWarp];
    if (half() == 1) {
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        others[m][lane_of()] = {sums[m][0], sums[m][1], sums[m][2], sums[m][3]};
      }
    }
    device::sync_threads(kUnfoldBarrier, kUnfoldWarps * device::kWarpThreads);
    if (half() == 1) return;
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      const float4 other = others[m][lane_of()];
      sums[m][0] = (sums[m][0] + other.x) * unit;
      sums[m][1] = (sums[m][1] + other.y) * unit;
      sums[m][2] = (sums[m][2] + other.z) * unit;
      sums[m][3] = (sums[m][3] + other.w) * unit;
    }
    // Eight columns from lane / 4 * 8 on, of tokens lane % 4 * 2 + e.
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = lane_of() % 4 * 2 + e;
      if (token >= a.tokens) break;
      a.meeting->asked[turn][token][head][(rank * kOwnLatents + column()) / 8 + lane_of() / 4] = {
          device::bf16_pair(sums[0][e], sums[0][2 + e]),
          device::bf16_pair(sums[1][e], sums[1][2 + e]),
          device::bf16_pair(sums[2][e], sums[2][2 + e]),
          device::bf16_pair(sums[3][e], sums[3][2 + e])};
    }
  }

 private:
  static constexpr int kUnfoldWarps = kWarps - kQueryWarps;
  static constexpr int kColumnsOfWarp = 64;
  static constexpr int kSteps = kNope / 16 / 2;
  static_assert(kUnfoldWarps == 4 && kOwnLatents == 2 * kColumnsOfWarp);
  __device__ static int half() {
    return (warp_of() - kQueryWarps) / 2;
  }
  __device__ static int column() {
    return (warp_of() - kQueryWarps) % 2 * kColumnsOfWarp;
  }

  mla_decode::UnfoldedPart<Octet> parts_[kSteps];
};

}  // namespace glm::kernels::cuda::mla_batch
