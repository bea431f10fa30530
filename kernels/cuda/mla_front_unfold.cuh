// W_UK of mla_front.cu: from a head's query to its columns of what attention asks.
#pragma once

#include "kernels/cuda/mla_front_block.cuh"
#include "kernels/cuda/wgmma_codecs.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda::mla_front {

// W_UK as bf16: pieces of 64 latents, of which a row has eight chunks, exchanged so that the same
// one of eight rows lies in different banks.
__device__ inline std::uint32_t decoded_at(int row, int chunk) {
  return static_cast<unsigned>(chunk / 8) * kPieceBytes +
         static_cast<unsigned>(row * 128 + (chunk % 8 ^ row % 8) * 16);
}

// By so many threads, of which this is number `thread`.
template <int kColumns>
__device__ void decode_unfold(const Block<kColumns>& block, int thread, int threads) {
  using At = Places<kColumns>;
  constexpr int kChunks = kOwnLatents / kScaled;  // sixteen bytes of a row, with a scale
  const std::uint32_t scales =
      block.memory + At::kUnfoldScales +
      static_cast<unsigned>(block.rank * kOwnLatents % kScaledBox / kScaled) * 2;
  device::barrier_wait(block.unfold_full(), 0);
#pragma unroll 1
  for (int at = thread; at < kNope * kChunks; at += threads) {
    const int row = at / (8 * kChunks) * 8 + at % 8;
    const int chunk = at / 8 % kChunks;
    // Rows of 64 bytes, their chunks exchanged by the copy.
    const uint4 words =
        shared_octets(block.memory + At::kUnfold + static_cast<unsigned>(row) * kUnfoldRow +
                      static_cast<unsigned>(chunk ^ row / 2 % 4) * 16);
    std::uint16_t scale = 0;
    asm volatile(
        "ld.shared.u16 %0, [%1];\n"
        : "=h"(scale)
        : "r"(scales + static_cast<unsigned>(row) * kScaleRow + static_cast<unsigned>(chunk) * 2));
    const device::Int4Group group{.scale = __ushort_as_bfloat16(scale), .zero = 8};
    const std::uint32_t four[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint4 decoded = device::int4_word(four[i], group);
      asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};\n" ::"r"(
                       block.memory + At::kDecoded + decoded_at(row, chunk * 4 + i)),
                   "r"(decoded.x), "r"(decoded.y), "r"(decoded.z), "r"(decoded.w)
                   : "memory");
    }
  }
}

// Sixteen latents of a warp, of all tokens; even and odd depths by themselves.
template <int kColumns>
__device__ void unfold(const Block<kColumns>& block) {
  using At = Places<kColumns>;
  constexpr int kTiles = kColumns / 8;
  constexpr int kDepth = 16;
  const int lane = lane_of();
  const int chunk = warp_of() * 2 + lane / 8 % 2;
  const std::uint32_t tokens = block.memory + At::kQuery +
                               static_cast<unsigned>(lane / 16 * 8 + lane % 8) * kQueryPitch +
                               static_cast<unsigned>(lane / 8 % 2 * 16);
  float sums[2][kTiles][4] = {};
#pragma unroll 3
  for (int row = 0; row < kNope; row += 2 * kDepth) {
#pragma unroll
    for (int odd = 0; odd < 2; ++odd) {
      std::uint32_t left[4];
      const int own = row + odd * kDepth + lane / 16 * 8 + lane % 8;
      device::load_matrices_transposed(left, block.memory + At::kDecoded + decoded_at(own, chunk));
#pragma unroll
      for (int pair = 0; pair < kTiles / 2; ++pair) {
        std::uint32_t right[4];
        device::load_matrices(right, tokens + static_cast<unsigned>(pair * 16) * kQueryPitch +
                                         static_cast<unsigned>(row + odd * kDepth) * 2);
        device::mma_16x8x16(sums[odd][2 * pair], left, right[0], right[1]);
        device::mma_16x8x16(sums[odd][2 * pair + 1], left, right[2], right[3]);
      }
    }
  }
  const std::uint32_t column = block.memory + At::kResults +
                               static_cast<unsigned>(warp_of() * 16 + lane / 8 % 2 * 8) * 2 +
                               static_cast<unsigned>(lane / 16 * 8 + lane % 8) * kResultPitch;
#pragma unroll
  for (int pair = 0; pair < kTiles / 2; ++pair) {
    std::uint32_t words[4];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const float(&even)[4] = sums[0][2 * pair + k];
      const float(&odd)[4] = sums[1][2 * pair + k];
      words[2 * k] = device::bf16_pair(even[0] + odd[0], even[1] + odd[1]);
      words[2 * k + 1] = device::bf16_pair(even[2] + odd[2], even[3] + odd[3]);
    }
    device::store_matrices_transposed(column + static_cast<unsigned>(16 * pair) * kResultPitch,
                                      words);
  }
}

template <int kColumns>
__device__ void store_unfolded(const Block<kColumns>& block) {
  using At = Places<kColumns>;
  constexpr int kOctets = kOwnLatents / 8;
  __nv_bfloat16* out = block.a.out + block.head * block.a.out_head + block.rank * kOwnLatents;
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < block.a.tokens * kOctets; at += kThreads) {
    const int token = at / kOctets;
    const int octet = at % kOctets;
    *reinterpret_cast<uint4*>(out + token * block.a.out_token + octet * 8) = shared_octets(
        block.memory + At::kResults + static_cast<unsigned>(token) * kResultPitch + octet * 16);
  }
}

}  // namespace glm::kernels::cuda::mla_front
