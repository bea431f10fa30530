// The sums of moe_opening.cu: tokens are the left side of products, rows of weights the right one;
// two blocks have half of the columns each and exchange what they add up (sm_90a only).
#pragma once

#include "kernels/cuda/moe_opening_block.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {

// What a thread sends to the other block, and what it adds to what comes from there. Of tokens, the
// upper or the lower 32; else of columns: in each part of 32, a half.
enum class OpeningSplit { tokens, columns };
template <OpeningSplit kSplit, int kColumns>
constexpr int kOwn = kSplit == OpeningSplit::tokens ? kColumns / 2 : kColumns / 4;  // sums

__device__ inline float2 load_pair(std::uint32_t shared) {
  float2 v;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];\n"
               : "=f"(v.x), "=f"(v.y)
               : "r"(shared)
               : "memory");
  return v;
}

// Exchanges sums over this block's columns for those over the others': true in threads that have
// `own` sums then.
template <OpeningSplit kSplit, int kColumns>
__device__ bool meet(const OpeningBlock& block, int half, const float (&sums)[kColumns / 2],
                     float (&own)[kOwn<kSplit, kColumns>]) {
  constexpr bool kTokens = kSplit == OpeningSplit::tokens;
  constexpr int kThreadsOfHalf = kOpeningGroupWarps * device::kWarpThreads / (kTokens ? 2 : 1);
  const std::uint32_t barrier = block.barrier(kReceived, half);
  // Of each pair of sums, those of all threads lie side by side.
  constexpr unsigned kPitch = kThreadsOfHalf * sizeof(float2);
  const std::uint32_t received =
      block.memory + block.plan.received_at +
      threadIdx.x % kThreadsOfHalf * static_cast<unsigned>(sizeof(float2));
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const bool mine = warp / (kOpeningGroupWarps / 2) == block.rank;
  // Sum `i` of those that the block of this rank has.
  const auto sum_of = [&](int rank, int i) {
    if (kTokens) return sums[i];
    constexpr int kPart = 16;  // sums of 32 columns
    const int at = i / (kPart / 2) * kPart + i % (kPart / 2);
    return rank == 0 ? sums[at] : sums[at + kPart / 2];
  };
  if (!kTokens || !mine) {
    const std::uint32_t to = device::address_in(received, 1 - block.rank);
    const std::uint32_t there = device::address_in(barrier, 1 - block.rank);
#pragma unroll
    for (int i = 0; i < kOwn<kSplit, kColumns>; i += 2) {
      device::send_8(to + static_cast<unsigned>(i / 2) * kPitch,
                     {sum_of(1 - block.rank, i), sum_of(1 - block.rank, i + 1)}, there);
    }
    if (kTokens) return false;
  }
  device::barrier_wait(barrier, 0);
#pragma unroll
  for (int i = 0; i < kOwn<kSplit, kColumns>; i += 2) {
    const float2 other = load_pair(received + static_cast<unsigned>(i / 2) * kPitch);
    own[i] = sum_of(block.rank, i) + other.x;
    own[i + 1] = sum_of(block.rank, i + 1) + other.y;
  }
  return true;
}

// A product waits for the one before it that has the same sums: so there are several.
template <int kColumns>
constexpr int kChains = kColumns == kOpeningFirstRows ? 2 : 4;
template <int kColumns>
using Sums = float[kChains<kColumns>][kColumns / 2];

// Activations of some steps, as a warp holds its sixteen tokens.
template <int kSteps>
using OpeningLeft = std::uint32_t[kSteps][kOpeningDepth / 16][4];

__device__ inline void load_tokens(std::uint32_t rows,
                                   std::uint32_t (&left)[kOpeningDepth / 16][4]) {
  const unsigned lane = threadIdx.x % device::kWarpThreads;
  const unsigned row = threadIdx.x / device::kWarpThreads * 16 + lane % 16;
#pragma unroll
  for (unsigned i = 0; i < kOpeningDepth / 16; ++i) {
    device::load_matrices(
        left[i], rows + row * (kOpeningDepth * 2) + ((2 * i + lane / 16) ^ (row % 8)) * 16);
  }
}

template <int kColumns>
__device__ __forceinline__ void hold(Sums<kColumns>& sums) {
#pragma unroll
  for (int chain = 0; chain < kChains<kColumns>; ++chain) device::hold(sums[chain]);
}

// When all products have ended: the sums of all chains, in the first.
template <int kColumns>
__device__ __forceinline__ void add_chains(Sums<kColumns>& sums) {
  device::warpgroup_wait<0>();
  hold<kColumns>(sums);
#pragma unroll
  for (int chain = 1; chain < kChains<kColumns>; ++chain) {
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sums[0][i] += sums[chain][i];
  }
}

// Starts it for some steps; what was started before has ended then.
template <int kColumns, int kSteps>
__device__ __forceinline__ void multiply(Sums<kColumns>& sums, const OpeningLeft<kSteps>& left,
                                         const std::uint32_t (&weights)[kSteps]) {
  device::warpgroup_begin();
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    const std::uint64_t right = device::right_side(weights[step]);
#pragma unroll
    for (int i = 0; i < kOpeningDepth / 16; ++i) {
      device::multiply_64<kColumns>(sums[i % kChains<kColumns>], left[step][i], right + 2 * i);
    }
  }
  device::warpgroup_commit();
  device::warpgroup_wait<1>();
}

// All turns of a half. `next(left)` waits for what a turn multiplies, loads its tokens and says
// where its weights are; `loaded(turn)` is told when the tokens are no longer needed.
template <int kColumns, typename Next, typename Loaded>
__device__ __forceinline__ void multiply_all(Sums<kColumns>& sums, int turns, const Next& next,
                                             const Loaded& loaded) {
  hold<kColumns>(sums);
  int turn = 0;
  const auto group = [&]<int kSteps>(OpeningLeft<kSteps>& left) {
    std::uint32_t weights[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) weights[i] = next(left[i]);
    multiply<kColumns, kSteps>(sums, left, weights);
#pragma unroll
    for (int i = 0; i < kSteps; ++i) loaded(turn++);
  };
  OpeningLeft<2> twice[2];
#pragma unroll 1
  while (turn + 4 <= turns) {
    group.template operator()<2>(twice[0]);
    group.template operator()<2>(twice[1]);
  }
  OpeningLeft<1> once;
#pragma unroll 1
  while (turn < turns) {
    device::warpgroup_wait<0>();
    group.template operator()<1>(once);
  }
  add_chains<kColumns>(sums);
}

// The first of the two tokens that this thread has of the tile; the other is eight further on.
__device__ inline int own_token() {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  return static_cast<int>(threadIdx.x) / device::kWarpThreads * 16 + lane / 4;
}
__device__ inline int own_column() {
  return 2 * (static_cast<int>(threadIdx.x) % 4);
}

}  // namespace glm::kernels::cuda
