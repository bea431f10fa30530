// The end of mla_decode_batch.cu: what all blocks found of the tokens as one, for the block's head,
// and W_UV.
#pragma once

#include "kernels/cuda/mla_decode_batch_query.cuh"
#include "kernels/device/cluster.cuh"

namespace glm::kernels::cuda::mla_batch {

// Values of some positions, not divided by their sum.
constexpr float kLowest = -1e30F;  // of positions that nobody sees
struct Mixed {
  float highest = kLowest;
  float sum = 0;
  float2 value = {0, 0};

  __device__ void add(const Mixed& other) {
    const float most = fmaxf(highest, other.highest);
    const float own = device::exp2_approx(highest - most);
    const float others = device::exp2_approx(other.highest - most);
    highest = most;
    sum = own * sum + others * other.sum;
    value.x = own * value.x + others * other.value.x;
    value.y = own * value.y + others * other.value.y;
  }
};

// This block's latents of its head, all positions, to the blocks of its cluster. A thread has two
// of a token; where tokens are few, several have some each of the blocks that shared it. A warp has
// one token.
__device__ inline void mix(const Args& a, Shared& shared, int head, int rank) {
  constexpr int kPairs = kOwnLatents / 2;
  constexpr int kHeld = 10;  // under way together
  static_assert(kThreads == kTokens * kPairs && kPairs % device::kWarpThreads == 0);
  const int pair = static_cast<int>(threadIdx.x) % kPairs;
  const int slot = static_cast<int>(threadIdx.x) / kPairs;
  const int sharing = a.tokens > 4 ? 1 : a.tokens > 2 ? 2 : a.tokens > 1 ? 4 : 8;
  const int token = slot / sharing;
  const bool there = token < a.tokens;
  Mixed mixed;
#pragma unroll 1
  for (int first = slot % sharing * kHeld; there && first < a.splits; first += kHeld * sharing) {
    const int block = token * a.splits + first;
    const int count = min(kHeld, a.splits - first);
    const auto is_own = [&](int i) { return i < count; };
    auto* const words_at =
        reinterpret_cast<std::uint32_t*>(a.meeting->found[block][head]) + rank * kPairs + pair;
    const auto word_at = [&](int i) {
      return words_at + i * static_cast<int>(sizeof(a.meeting->found[0]) / sizeof(std::uint32_t));
    };
    // A lane has what one block says. That is looked at first, and waited for last.
    const bool own = lane_of() < count;
    const auto said_at = [&](int) { return &a.meeting->said[block + lane_of()][head][rank]; };
    uint2 said[1] = {};
    if (own) said[0] = device::look_at(said_at(0));
    std::uint32_t words[kHeld];
    device::await(words, is_own, word_at);
    if (__any_sync(0xFFFFFFFFU, !device::has_come(said[0]))) {
      device::await(
          said, [&](int) { return own; }, said_at);
    }
    Mixed part;
    if (own) part.highest = fmaxf(__uint_as_float(said[0].x), part.highest);
#pragma unroll
    for (int offset = device::kWarpThreads / 2; offset > 0; offset /= 2) {
      part.highest = fmaxf(part.highest, __shfl_xor_sync(0xFFFFFFFFU, part.highest, offset));
    }
    const float share = own ? device::exp2_approx(__uint_as_float(said[0].x) - part.highest) : 0;
    part.sum = device::warp_sum(share * __uint_as_float(said[0].y));
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const float one = __shfl_sync(0xFFFFFFFFU, share, i);
      part.value.x += one * device::bf16_low(words[i]);
      part.value.y += one * device::bf16_high(words[i]);
      if (is_own(i)) *word_at(i) = device::kNothing;
    }
    mixed.add(part);
  }
  if (sharing > 1) {
    shared.parts[threadIdx.x] = {mixed.highest, mixed.sum, mixed.value.x, mixed.value.y};
    __syncthreads();  // parts of all threads
    if (slot % sharing > 0) return;
#pragma unroll 1
    for (int i = 1; i < sharing; ++i) {
      const float4 part = shared.parts[threadIdx.x + static_cast<unsigned>(i * kPairs)];
      mixed.add({.highest = part.x, .sum = part.y, .value = {part.z, part.w}});
    }
  }
  if (!there) return;
  // Sixteen bytes to each block, by one of four lanes that have a part of them.
  const std::uint32_t own =
      device::bf16_pair(__fdividef(mixed.value.x, mixed.sum), __fdividef(mixed.value.y, mixed.sum));
  const int first = lane_of() / kBlocks * kBlocks;
  const uint4 four = {
      __shfl_sync(0xFFFFFFFFU, own, first), __shfl_sync(0xFFFFFFFFU, own, first + 1),
      __shfl_sync(0xFFFFFFFFU, own, first + 2), __shfl_sync(0xFFFFFFFFU, own, first + 3)};
  const int block = lane_of() % kBlocks;
  const unsigned char* to = shared.mixed + token * kMixedPitch + (rank * kPairs + pair - block) * 4;
  device::send_16(device::address_in(device::shared_address(to), block), four,
                  device::address_in(shared.barrier(kMixedCame), block));
}
static_assert(kBlocks == 4 && kMixedPitch % 16 == 0);

// What a warp has of W_UV.
template <class Fetch>
__device__ void read_values_part(const Args& a, mla_decode::StoredPart<Fetch>& part, int head,
                                 int rank) {
  const int row = head * mla_decode::kHeadRows + kNope + rank * kOwnValues +
                  warp_of() % kValueTiles * kTileRows + lane_of() / 4;
  part.read(a.one.kv_b, row, row + 8, warp_of() / kValueTiles);
}

// This block's outputs of its head, and an end of what blocks said.
template <class Fetch>
__device__ void tell(const Args& a, const mla_decode::StoredPart<Fetch>& part, Shared& shared,
                     int head, int rank, float unit) {
  const int own_part = warp_of() / kValueTiles;
  const auto* x = reinterpret_cast<const uint4*>(shared.mixed + lane_of() / 4 * kMixedPitch) +
                  own_part * (kPart / 8);
  float sums[4] = {};
  part.multiply(sums, [&](int c) { return Fetch::arrange(x[c / 8]); });
  leave_sums(&shared.sums[own_part][0][warp_of() % kValueTiles * kTileRows], kOwnValues, sums);
  __syncthreads();  // sums of all warps; nobody still looks at what blocks said
  const int token = static_cast<int>(threadIdx.x) / kOwnValues;
  const int i = static_cast<int>(threadIdx.x) % kOwnValues;
  if (token < a.tokens) {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kValueParts; ++p) sum += shared.sums[p][token][i];
    device::store(
        a.one.out + token * a.one.out_token + head * a.one.out_head + rank * kOwnValues + i,
        sum * unit);
  }
  const int block = static_cast<int>(threadIdx.x);
  if (block < a.tokens * a.splits) {
    a.meeting->said[block][head][rank] = {device::kNothing, device::kNothing};
  }
}
static_assert(kThreads == kTokens * kOwnValues && kThreads >= kBlocksMax);

}  // namespace glm::kernels::cuda::mla_batch
