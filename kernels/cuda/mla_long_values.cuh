// The end of mla_decode_long.cu: what each block found to those that want it, and what all found as
// one, for the block's head.
#pragma once

#include "kernels/cuda/mla_long_block.cuh"
#include "kernels/device/cluster.cuh"

namespace glm::kernels::cuda::mla_long {

// All that this block found, to memory. `results`: where they lie between, each warp's own.
__device__ inline void tell_found(const Args& a, groups::Weighing& weighing,
                                  groups::Softmax& softmax, const groups::Sums (&values)[kOwnBoxes],
                                  unsigned char* results, int group, int block) {
  groups::leave_values(values, device::shared_address(results));
  __syncwarp();
  constexpr int kOctets = 2 * kOwnBoxes;  // of a head, of this warp
  const int octet = (group * kOwnBoxes + lane_of() / 2 % kOwnBoxes) * 8 +
                    warp_of() % groups::kGroupWarps * 2 + lane_of() % 2;
#pragma unroll 1
  for (int head = lane_of() / kOctets; head < a.heads; head += kWarpThreads / kOctets) {
    a.meeting->found[block][head][octet] =
        *reinterpret_cast<const uint4*>(results + head * groups::kResultPitch + octet * 16);
  }
  if (group > 0) return;
  groups::leave_sums(weighing, softmax);
  device::sync_threads(kScoresBarrier, kGroupThreads);
  const int head = static_cast<int>(threadIdx.x) / kBlocks;
  if (head >= a.heads) return;
  a.meeting->said[block][head][threadIdx.x % kBlocks] = {
      __float_as_uint(weighing.most[head]), __float_as_uint(groups::sum_of(weighing, head))};
}
static_assert(kOwnBoxes == 2 && groups::kHeads * kBlocks <= kGroupThreads);

// This block's latents of its head, all positions, to the blocks of its cluster. A warp has what
// some blocks found, then a thread a pair for one of the blocks.
__device__ inline void mix(const Args& a, Shared& shared, Late& late, int readers, int head,
                           int rank) {
  constexpr int kHeld = mla_batch::kBlocksMax / kWarps;
  constexpr float kLowest = -1e30F;
  const auto is_own = [&](int i) { return warp_of() + i * kWarps < readers; };
  uint2* const said_at = &a.meeting->said[warp_of()][head][rank];
  constexpr int kSaidStep = kWarps * sizeof(a.meeting->said[0]) / sizeof(uint2);
  auto* const found_at =
      reinterpret_cast<uint2*>(a.meeting->found[warp_of()][head]) + rank * kWarpThreads + lane_of();
  constexpr int kFoundStep = kWarps * sizeof(a.meeting->found[0]) / sizeof(uint2);
  uint2 all[2 * kHeld];
  device::await_together(
      all, [&](int i) { return is_own(i % kHeld); },
      [&](int i) {
        return i < kHeld ? said_at + i * kSaidStep : found_at + (i - kHeld) * kFoundStep;
      });
  __syncwarp();  // nobody still looks at what blocks say
  const uint2* const said = all;
  const uint2* const found = all + kHeld;
  float most = kLowest;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (is_own(i)) most = fmaxf(most, __uint_as_float(said[i].x));
  }
  float sum = 0;
  float4 value = {0, 0, 0, 0};
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (!is_own(i)) continue;
    const float share = device::exp2_approx(__uint_as_float(said[i].x) - most);
    sum += share * __uint_as_float(said[i].y);
    value.x += share * device::bf16_low(found[i].x);
    value.y += share * device::bf16_high(found[i].x);
    value.z += share * device::bf16_low(found[i].y);
    value.w += share * device::bf16_high(found[i].y);
    found_at[i * kFoundStep] = {device::kNothing, device::kNothing};
    if (lane_of() == 0) said_at[i * kSaidStep] = {device::kNothing, device::kNothing};
  }
  late.values[warp_of()][lane_of()] = value;
  if (lane_of() == 0) late.said[warp_of()] = {most, sum};
  __syncthreads();  // parts of all warps
  const int pair = static_cast<int>(threadIdx.x) / kBlocks;
  if (pair >= kOwnLatents / 2) return;
  float highest = kLowest;
  float2 parts[kWarps];
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    parts[w] = late.said[w];
    highest = fmaxf(highest, parts[w].x);
  }
  float total = 0;
  float2 mixed = {0, 0};
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const float share = device::exp2_approx(parts[w].x - highest);
    const float2 two = reinterpret_cast<const float2*>(late.values[w])[pair];
    total += share * parts[w].y;
    mixed.x += share * two.x;
    mixed.y += share * two.y;
  }
  const int to = static_cast<int>(threadIdx.x) % kBlocks;
  device::send_4(
      device::address_in(device::shared_address(late.mixed + rank * kOwnLatents + 2 * pair), to),
      device::bf16_pair(__fdividef(mixed.x, total), __fdividef(mixed.y, total)),
      device::address_in(shared.barrier(kMixedCame), to));
}
static_assert(kOwnLatents == 4 * kWarpThreads && mla_batch::kBlocksMax % kWarps == 0);

}  // namespace glm::kernels::cuda::mla_long
