// What the blocks of product_pairs.cu do with their sums: those of both warpgroups and of all parts
// of the columns are added up and stored.
#pragma once

#include "kernels/cuda/pairs_block.cuh"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/wgmma_codecs.cuh"
#include "kernels/device/awaited.cuh"
#include "kernels/device/cluster.cuh"
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

__device__ inline uint4 as_words(const float4& v) {
  return {__float_as_uint(v.x), __float_as_uint(v.y), __float_as_uint(v.z), __float_as_uint(v.w)};
}
__device__ inline float4 as_sums(const uint4& v) {
  return {__uint_as_float(v.x), __uint_as_float(v.y), __uint_as_float(v.z), __uint_as_float(v.w)};
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

// Items of sums, those of whole rows, of which each of a tile's blocks adds up so many, while there
// are any.
__device__ inline int share_of(const Product& a, const PairPlan& plan) {
  return (static_cast<int>(a.rows) + plan.parts - 1) / plan.parts * kFours;
}
struct OwnItems {
  int first;
  int end;
  __device__ OwnItems(const Product& a, const PairPlan& plan, int part)
      : first(part * share_of(a, plan)),
        end(min(first + share_of(a, plan), static_cast<int>(a.rows) * kFours)) {}
  __device__ int count() const { return max(0, end - first); }
};

// By way of memory, where sums say by themselves that they have come.
template <int kColumns>
__device__ void add_parts_apart(const Product& a, const PairPlan& plan, const PairBlock& block,
                                const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int share = share_of(a, plan);
  const OwnItems own(a, plan, block.part);
  constexpr int kOfPart = kSplitBlockSums / 4;
  uint4* sums = static_cast<uint4*>(a.split.awaited) +
                static_cast<std::int64_t>(block.tile) * plan.parts * kOfPart;
#pragma unroll 1
  for (int item = thread; item < static_cast<int>(a.rows) * kFours; item += kThreads) {
    if (item / share == block.part) continue;
    device::leave_at(sums + block.part * kOfPart + item,
                     as_words(block_sum_of<kColumns>(partial, item)));
  }
#pragma unroll 1
  for (int item = own.first + thread; item < own.end; item += kThreads) {
    uint4 others[kPairPartsMax];
    const auto place = [&](int part) { return sums + part * kOfPart + item; };
    device::await(
        others, [&](int part) { return part < plan.parts && part != block.part; }, place);
    float4 total = {};
#pragma unroll
    for (int part = 0; part < kPairPartsMax; ++part) {
      if (part >= plan.parts) continue;
      const bool mine = part == block.part;
      const float4 one = mine ? block_sum_of<kColumns>(partial, item) : as_sums(others[part]);
      if (!mine) *place(part) = device::kNothing16;  // for the next launch
      total = part == 0 ? one : sum(total, one);
    }
    store(a, plan, block, item, total);
  }
}

// In a cluster, or where there is one part.
template <int kColumns>
__device__ void add_parts(const Product& a, const PairPlan& plan, const PairBlock& block,
                          const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int share = share_of(a, plan);
  const OwnItems own(a, plan, block.part);
  const std::uint32_t received = block.memory + plan.received_at;
#pragma unroll 1
  for (int item = thread; plan.parts > 1 && item < static_cast<int>(a.rows) * kFours;
       item += kThreads) {
    const int part = item / share;
    if (part == block.part) continue;
    const int rank = block.rank_of(part);
    const int at = block.part * share + item % share;
    device::send_16(device::address_in(received + static_cast<unsigned>(at) * 16, rank),
                    as_words(block_sum_of<kColumns>(partial, item)),
                    device::address_in(block.received(plan), rank));
  }
  device::barrier_wait(block.received(plan), 0);
#pragma unroll 1
  for (int item = own.first + thread; item < own.end; item += kThreads) {
    float4 total = {};
#pragma unroll 1
    for (int part = 0; part < plan.parts; ++part) {
      const int at = part * share + item - own.first;
      const float4 one = part == block.part
                             ? block_sum_of<kColumns>(partial, item)
                             : as_sums(shared_octets(received + static_cast<unsigned>(at) * 16));
      total = part == 0 ? one : sum(total, one);
    }
    store(a, plan, block, item, total);
  }
}

}  // namespace glm::kernels::cuda::pairs
