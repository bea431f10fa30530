// q_b of mla_front.cu: a block's part of the queries of its head, up to where W_UK takes it and
// attention what is turned.
#pragma once

#include "kernels/cuda/mla_front_block.cuh"
#include "kernels/cuda/pairs_codecs.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda::mla_front {

using LeftUnit = LeftSide[kUnit / 32];

__device__ inline uint2 shared_eight_bytes(std::uint32_t address) {
  uint2 bytes;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];\n" : "=r"(bytes.x), "=r"(bytes.y) : "r"(address));
  return bytes;
}

__device__ inline std::uint32_t product_of(std::uint32_t a, std::uint32_t b) {
  const __nv_bfloat162 product = __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                         *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const std::uint32_t*>(&product);
}

// This lane's part of a unit of q_b, times the norm's weights.
template <class Codec, int kColumns>
__device__ __forceinline__ void decode(const Block<kColumns>& block, int unit, LeftUnit& left) {
  using At = Places<kColumns>;
  const auto lane = static_cast<unsigned>(lane_of());
  const unsigned row = static_cast<unsigned>(warp_of() % 4 * 16) + lane / 4;
  const auto number = static_cast<unsigned>(unit);
  const std::uint32_t weights = block.memory + At::kWeights + number * kUnitBytes + row * kUnitRow;
  const std::uint32_t scales_at = block.memory + At::kScales +
                                  (number / 2 * kOwnQuery + row) * kScaleRow +
                                  number % 2 * (kScaleRow / 2);
  const std::uint32_t norm = block.memory + At::kNorm + (number * kUnit + lane % 4 * 2) * 2;
  const typename Codec::Scales scales[2] = {
      typename Codec::Scales(shared_eight_bytes(scales_at)),
      typename Codec::Scales(shared_eight_bytes(scales_at + 8 * kScaleRow))};
#pragma unroll
  for (unsigned piece = 0; piece < kUnit / 32; ++piece) {
    std::uint32_t factors[4];
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) factors[i] = shared_word(norm + (piece * 32 + i * 8) * 2);
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const uint4 words = shared_octets(weights + lower * 8 * kUnitRow + (piece ^ lane / 8) * 16);
      const auto pair = [&](std::uint32_t word, unsigned second, std::uint32_t factor) {
        return product_of(Codec::pair(word, static_cast<int>(lane), scales[lower], piece, second),
                          factor);
      };
      left[piece][0][lower] = pair(words.x, 0, factors[0]);
      left[piece][0][2 + lower] = pair(words.y, 0, factors[1]);
      left[piece][1][lower] = pair(words.z, 1, factors[2]);
      left[piece][1][2 + lower] = pair(words.w, 1, factors[3]);
    }
  }
}

template <int kColumns>
__device__ __forceinline__ void multiply(const Block<kColumns>& block, int unit,
                                         const LeftUnit& left, float (&sums)[kColumns / 2]) {
  using At = Places<kColumns>;
  const std::uint32_t rows =
      block.memory + At::kRows + static_cast<unsigned>(unit * kUnitBoxes) * At::kBoxPitch;
  device::barrier_wait(block.rows_full(unit), 0);
  device::warpgroup_begin();
#pragma unroll
  for (unsigned piece = 0; piece < kUnit / 32; ++piece) {
    const std::uint64_t right =
        device::right_side(rows + piece / 2 * At::kBoxPitch) + 4 * (piece % 2);
    device::multiply_64<kColumns>(sums, left[piece][0], right);
    device::multiply_64<kColumns>(sums, left[piece][1], right + 2);
  }
  device::warpgroup_commit();
}

// What each token's sums are multiplied with: one over the length of its query, and `unit`. A warp
// of one of the blocks has a token, and tells all of them.
template <int kColumns>
__device__ void find_factors(const Block<kColumns>& block, float unit) {
  using At = Places<kColumns>;
  const int lane = lane_of();
#pragma unroll 1
  for (int token = warp_of() * kBlocks + block.rank; token < block.a.tokens;
       token += kBlocks * (kThreads / device::kWarpThreads)) {
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kQRank / 8 / 32; ++i) {
      const int octet = lane + 32 * i;
      device::barrier_wait(block.rows_full(octet * 8 / kUnit), 0);
      squares += device::octet_squares(shared_octets(
          block.memory + At::kRows + static_cast<unsigned>(octet / 8) * At::kBoxPitch +
          static_cast<unsigned>(token * 128 + (octet % 8 ^ token % 8) * 16)));
    }
    const float mean = device::warp_sum(squares) * (1.0F / static_cast<float>(kQRank));
    if (lane < kBlocks) {
      device::send_4(
          device::address_in(block.memory + At::kFactors + static_cast<unsigned>(token) * 4, lane),
          __float_as_uint(rsqrtf(mean + block.a.eps) * unit),
          device::address_in(block.factors_came(), lane));
    }
  }
}

// How tokens are turned: a part of it by each block, for the one that turns. Not by the warp that
// fetches, on which all wait.
template <int kColumns>
__device__ void find_turns(const Block<kColumns>& block) {
  using At = Places<kColumns>;
  constexpr int kPairs = kTurned / 2;
  const std::uint32_t to = device::address_in(block.memory + At::kTurns, kTurnedBlock);
  const std::uint32_t came = device::address_in(block.turns_came(), kTurnedBlock);
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x) * kBlocks + block.rank; at < block.a.tokens * kPairs;
       at += kFetchThread * kBlocks) {
    device::send_8(to + static_cast<unsigned>(at) * 8, block.a.turns.turn(at / kPairs, at % kPairs),
                   came);
  }
}

// Sums of the warps with the other half of the columns, where those with the first find them.
template <int kColumns>
__device__ void leave(const float (&sums)[kColumns / 2], float4* others) {
  float4* to = others + static_cast<int>(threadIdx.x) % kHalfThreads;
#pragma unroll
  for (int i = 0; i < kColumns / 8; ++i) {
    to[i * kHalfThreads] = {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]};
  }
}

// Adds them, and leaves the query from shared address `to` on, token by token, so many bytes each;
// with kBoxed as a box of activations is.
template <bool kBoxed, int kColumns>
__device__ void finish_query(const Block<kColumns>& block, const float (&sums)[kColumns / 2],
                             const float4* others, std::uint32_t to) {
  using At = Places<kColumns>;
  constexpr unsigned kPitch = kBoxed ? kBox * 2 : kTurnedPitch;
  const int lane = lane_of();
  const int chunk = warp_of() % 4 * 2 + lane / 8 % 2;
  const float4* from = others + static_cast<int>(threadIdx.x) % kHalfThreads;
  device::barrier_wait(block.factors_came(), 0);
  const std::uint32_t column = to + static_cast<unsigned>(kBoxed ? chunk ^ lane % 8 : chunk) * 16 +
                               static_cast<unsigned>(lane / 16 * 8 + lane % 8) * kPitch;
#pragma unroll
  for (int i = 0; i < kColumns / 16; ++i) {
    std::uint32_t words[4];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int eight = 2 * i + k;
      const float4 other = from[eight * kHalfThreads];
      float2 factor;
      asm volatile(
          "ld.shared.v2.f32 {%0, %1}, [%2];\n"
          : "=f"(factor.x), "=f"(factor.y)
          : "r"(block.memory + At::kFactors + static_cast<unsigned>(eight * 8 + lane % 4 * 2) * 4));
      words[2 * k] = device::bf16_pair((sums[4 * eight] + other.x) * factor.x,
                                       (sums[4 * eight + 1] + other.y) * factor.y);
      words[2 * k + 1] = device::bf16_pair((sums[4 * eight + 2] + other.z) * factor.x,
                                           (sums[4 * eight + 3] + other.w) * factor.y);
    }
    device::store_matrices_transposed(column + static_cast<unsigned>(16 * i) * kPitch, words);
  }
}

// This block's 64 numbers of the query, by half of the threads, to the other blocks.
template <int kColumns>
__device__ void send_query(const Block<kColumns>& block, std::uint32_t query) {
  constexpr int kOctets = kOwnQuery / 8;
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x) % kHalfThreads; at < block.a.tokens * kOctets;
       at += kHalfThreads) {
    const std::uint32_t from = query + static_cast<unsigned>(at) * 16;
    const uint4 octet = shared_octets(from);
#pragma unroll
    for (int i = 1; i < kBlocks; ++i) {
      const int other = (block.rank + i) % kBlocks;
      device::send_16(device::address_in(from, other), octet,
                      device::address_in(block.query_came(), other));
    }
  }
}

template <int kColumns>
__device__ void turn_query(const Block<kColumns>& block, const __nv_bfloat16* to_turn,
                           const float2* turns) {
  constexpr int kPairs = kTurned / 2;
  __nv_bfloat16* out = block.a.out + block.head * block.a.out_head + kRank;
  device::barrier_wait(block.turns_came(), 0);
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x) % kHalfThreads; at < block.a.tokens * kPairs;
       at += kHalfThreads) {
    const int token = at / kPairs;
    block.a.turns.apply(out + token * block.a.out_token, to_turn + token * (kTurnedPitch / 2),
                        at % kPairs, turns[at]);
  }
}

}  // namespace glm::kernels::cuda::mla_front
