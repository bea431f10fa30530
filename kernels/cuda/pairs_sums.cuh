// What the blocks of product_pairs.cu do with their sums: those of both warpgroups and of all parts
// of the columns are added up and stored.
#pragma once

#include "kernels/cuda/pairs_block.cuh"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/wgmma_codecs.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/counters.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda::pairs {

// To where all threads can add them.
template <int kColumns>
__device__ void leave(const float (&sums)[kColumns / 2], float* partial) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  const int output =
      static_cast<int>(threadIdx.x) % kGroupThreads / device::kWarpThreads * 16 + lane / 4;
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) {
    const int row = i / 4 * 8 + 2 * (lane % 4) + i % 2;
    partial[(group * kColumns + row) * kPairSumsPitch + output + i / 2 % 2 * 8] = sums[i];
  }
}

__device__ inline float4 sum(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

// Four outputs of a row, of both warpgroups.
template <int kColumns>
__device__ float4 block_sum_of(const float* partial, int item) {
  const float* own = partial + item / kFours * kPairSumsPitch + item % kFours * 4;
  return sum(*reinterpret_cast<const float4*>(own),
             *reinterpret_cast<const float4*>(own + kColumns * kPairSumsPitch));
}

__device__ inline void store(const Product& a, const PairPlan& plan, const PairBlock& block,
                             int item, const float4& total) {
  const int row = item / kFours;
  const std::int64_t output =
      static_cast<std::int64_t>(block.tile) * kPairOutputs + item % kFours * 4;
  const float values[4] = {total.x * block.unit, total.y * block.unit, total.z * block.unit,
                           total.w * block.unit};
  if (plan.whole_fours && output + 4 <= a.outputs) {
    const std::int64_t to = row * a.out_stride + block.head * a.out_group_stride + output;
    *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(a.out) + to) = {
        device::bf16_pair(values[0], values[1]), device::bf16_pair(values[2], values[3])};
    return;
  }
#pragma unroll 1
  for (int i = 0; i < 4; ++i) {
    const float value = i < 2 ? (i == 0 ? values[0] : values[1]) : i == 2 ? values[2] : values[3];
    if (output + i < a.outputs) put(a, row, block.head, output + i, value);
  }
}

// Items of sums that each of a tile's blocks adds up.
__device__ inline int share_of(const Product& a, const PairPlan& plan) {
  return static_cast<int>(a.rows) * kFours / plan.parts;
}
static_assert(kFours % kPairPartsMax == 0);

// By way of memory.
template <int kColumns>
__device__ void add_parts_apart(const Product& a, const PairPlan& plan, const PairBlock& block,
                                const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int share = share_of(a, plan);
  auto* sums = reinterpret_cast<float4*>(a.split.sums) +
               static_cast<std::int64_t>(block.tile) * plan.parts * (kSplitBlockSums / 4);
  std::uint32_t* count = a.split.counts + block.tile;
  const auto parts = static_cast<unsigned>(plan.parts);
#pragma unroll 1
  for (int item = thread; item < plan.parts * share; item += kThreads) {
    __stcg(sums + block.part * (kSplitBlockSums / 4) + item, block_sum_of<kColumns>(partial, item));
  }
  __syncthreads();  // the sums of this block are written
  if (thread == 0) {
    device::add_release(count, 1);
    if (!device::wait_at_least(count, parts)) __trap();
  }
  __syncthreads();  // those of all parts are there
#pragma unroll 1
  for (int item = block.part * share + thread; item < (block.part + 1) * share; item += kThreads) {
    float4 others[kPairPartsMax];
#pragma unroll
    for (int part = 0; part < kPairPartsMax; ++part) {
      if (part < plan.parts) others[part] = __ldcg(sums + part * (kSplitBlockSums / 4) + item);
    }
    float4 total = others[0];
#pragma unroll
    for (int part = 1; part < kPairPartsMax; ++part) {
      if (part < plan.parts) total = sum(total, others[part]);
    }
    store(a, plan, block, item, total);
  }
  // All have been seen to be there by all: the last to say so leaves the counter as it was.
  if (thread == 0 && atomicAdd(count, 1U) + 1 == 2 * parts) *count = 0;
}

// In a cluster, or where there is one part.
template <int kColumns>
__device__ void add_parts(const Product& a, const PairPlan& plan, const PairBlock& block,
                          const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int share = share_of(a, plan);
  const std::uint32_t received = block.memory + plan.received_at;
#pragma unroll 1
  for (int item = thread; plan.parts > 1 && item < plan.parts * share; item += kThreads) {
    const int part = item / share;
    if (part == block.part) continue;
    const float4 own = block_sum_of<kColumns>(partial, item);
    const int rank = block.rank_of(part);
    const int at = block.part * share + item % share;
    device::send_16(device::address_in(received + static_cast<unsigned>(at) * 16, rank),
                    {__float_as_uint(own.x), __float_as_uint(own.y), __float_as_uint(own.z),
                     __float_as_uint(own.w)},
                    device::address_in(block.received(plan), rank));
  }
  device::barrier_wait(block.received(plan), 0);
#pragma unroll 1
  for (int item = thread; item < share; item += kThreads) {
    float4 total = {};
#pragma unroll 1
    for (int part = 0; part < plan.parts; ++part) {
      float4 others;
      if (part == block.part) {
        others = block_sum_of<kColumns>(partial, block.part * share + item);
      } else {
        const uint4 words =
            shared_octets(received + static_cast<unsigned>(part * share + item) * 16);
        others = {__uint_as_float(words.x), __uint_as_float(words.y), __uint_as_float(words.z),
                  __uint_as_float(words.w)};
      }
      total = part == 0 ? others : sum(total, others);
    }
    store(a, plan, block, block.part * share + item, total);
  }
}

}  // namespace glm::kernels::cuda::pairs
