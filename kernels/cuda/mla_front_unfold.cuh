// W_UK of mla_front.cu: from a head's query to its columns of what attention asks.
#pragma once

#include "kernels/cuda/mla_front_block.cuh"
#include "kernels/cuda/pairs_codecs.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda::mla_front {

// W_UK as bf16: pieces of 64 latents, of which a row has eight chunks, exchanged so that the same
// one of eight rows lies in different banks.
__device__ inline std::uint32_t decoded_at(int row, int chunk) {
  return static_cast<unsigned>(chunk / 8) * kPieceBytes +
         static_cast<unsigned>(row * 128 + (chunk % 8 ^ row % 8) * 16);
}

// Thirty-two columns of a row, whose scales are two bytes, eight at a time: put(i, octet).
template <class Put>
__device__ inline void decode_row(PairsInt4 /*codec*/, const std::uint32_t (&words)[4],
                                  std::uint16_t scale, const Put& put) {
  const Int4Pairs pair(scale);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t word = words[i];
    put(i, device::int4_in_order({pair(word, 0, false), pair(word, 1, false), pair(word, 2, false),
                                  pair(word, 3, false)}));
  }
}
template <class Put>
__device__ inline void decode_row(PairsFp4 /*codec*/, const std::uint32_t (&words)[4],
                                  std::uint16_t bytes, const Put& put) {
  const __nv_bfloat162 scales = device::fp4_row_scales(device::ScaleType::e4m3, bytes);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    put(i, device::fp4_word(words[i], i < 2 ? __low2bfloat16(scales) : __high2bfloat16(scales)));
  }
}

// By so many threads, of which this is number `thread`.
template <class Codec, int kColumns>
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
    decode_row(Codec{}, {words.x, words.y, words.z, words.w}, scale,
               [&](int i, const uint4& decoded) {
                 asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};\n" ::"r"(
                                  block.memory + At::kDecoded + decoded_at(row, chunk * 4 + i)),
                              "r"(decoded.x), "r"(decoded.y), "r"(decoded.z), "r"(decoded.w)
                              : "memory");
               });
  }
}

// Sixty-four latents of a warpgroup, of all tokens. Sums are multiplied with `unit`.
template <int kColumns>
__device__ void unfold(const Block<kColumns>& block, float unit) {
  using At = Places<kColumns>;
  constexpr int kDepth = 16;
  // A product waits for the one before it that has the same sums.
  constexpr int kChains = kColumns < kTokensMax ? 2 : 1;
  const int lane = lane_of();
  // The same in all lanes, as the compiler is to know.
  const auto half = static_cast<unsigned>(__shfl_sync(0xFFFFFFFFU, half_of(), 0));
  const std::uint64_t latents =
      device::right_side(block.memory + At::kDecoded + half * kPieceBytes);
  const std::uint64_t tokens = device::right_side(block.memory + At::kQuery);
  float sums[kChains][kColumns / 2] = {};
#pragma unroll
  for (auto& chain : sums) device::hold(chain);
  device::warpgroup_begin();
#pragma unroll
  for (int row = 0; row < kNope; row += kDepth) {
    const int step = row / kDepth;
    device::multiply_64_across<kColumns>(
        sums[step % kChains], latents + 128 * static_cast<unsigned>(step),
        tokens + static_cast<unsigned>(row / kBox) * (kColumns * kBox * 2 / 16) +
            2 * static_cast<unsigned>(step % (kBox / kDepth)));
  }
  device::warpgroup_commit();
  device::warpgroup_wait<0>();
#pragma unroll
  for (auto& chain : sums) device::hold(chain);
  if constexpr (kChains == 2) {
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sums[0][i] += sums[1][i];
  }
  const std::uint32_t column = block.memory + At::kResults +
                               static_cast<unsigned>(warp_of() * 16 + lane / 8 % 2 * 8) * 2 +
                               static_cast<unsigned>(lane / 16 * 8 + lane % 8) * kResultPitch;
#pragma unroll
  for (int pair = 0; pair < kColumns / 16; ++pair) {
    std::uint32_t words[4];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const float* eight = sums[0] + 4 * (2 * pair + k);
      words[2 * k] = device::bf16_pair(eight[0] * unit, eight[1] * unit);
      words[2 * k + 1] = device::bf16_pair(eight[2] * unit, eight[3] * unit);
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
