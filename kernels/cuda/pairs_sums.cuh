// What the blocks of product_pairs.cu do with their sums: those of both warpgroups and of all parts
// of the columns are added up and stored.
#pragma once

#include "kernels/cuda/pairs_block.cuh"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/row_squares.cuh"
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
  // All lanes of a warp take the same turns.
  __device__ bool any_of_warp(int item) const {
    return item - static_cast<int>(threadIdx.x) % device::kWarpThreads < end;
  }
};

// By a thread of each warp, since a warp sets up one barrier after the other.
__device__ inline void set_up(const Product& a, const PairPlan& plan, const PairBlock& block) {
  constexpr int kWarps = kThreads / device::kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
#pragma unroll 1
  for (int unit = warp; unit < plan.units; unit += kWarps) {
    device::barrier_set_up(block.weights_full(plan, unit), 1);
    device::barrier_set_up(block.rows_full(plan, unit), 1);
  }
  const bool last = warp == kWarps - 1;
  if (last) device::barrier_set_up(block.received(plan), 1);
  device::barriers_are_set_up();
  if (!last) return;
  const int others = plan.together ? plan.parts - 1 : 0;
  device::barrier_arrive_expecting(
      block.received(plan),
      static_cast<unsigned>(others * OwnItems(a, plan, block.part).count()) * 16);
}

// What four results of a row want besides their sums, asked for before those have come.
struct Ending {
  float4 squares;
  uint2 residual;
  uint2 weight;
};
__device__ inline std::int64_t output_of(const PairBlock& block, int item) {
  return static_cast<std::int64_t>(block.tile) * kPairOutputs + item % kFours * 4;
}
__device__ inline const uint2* four_of(const void* rows, std::int64_t at) {
  return reinterpret_cast<const uint2*>(static_cast<const __nv_bfloat16*>(rows) + at);
}
__device__ inline Ending ending_of(const Product& a, const PairBlock& block, int item) {
  Ending ending;
  const int row = item / kFours;
  if (a.squares.sums != nullptr) {
    ending.squares = __ldcg(reinterpret_cast<const float4*>(a.squares.sums) + row);
  }
  if (a.behind.residual != nullptr) {
    const std::int64_t output = output_of(block, item);
    ending.residual = __ldcg(four_of(a.behind.residual, row * a.behind.residual_stride + output));
    ending.weight = __ldg(four_of(a.behind.weight, output));
  }
  return ending;
}

// By all lanes of a warp, half of which have the results of a row, if it is there.
__device__ inline void store_sums(const Product& a, const PairBlock& block, int item, bool there,
                                  const float (&values)[4], const Ending& ending) {
  const int row = item / kFours;
  const std::int64_t output = output_of(block, item);
  const std::uint32_t own[2] = {ending.residual.x, ending.residual.y};
  const std::uint32_t weights[2] = {ending.weight.x, ending.weight.y};
  std::uint32_t sums[2];
  std::uint32_t weighted[2];
  float squares = 0;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    sums[i] = device::bf16_pair(values[2 * i] + device::bf16_low(own[i]),
                                values[2 * i + 1] + device::bf16_high(own[i]));
    const float2 sum = {device::bf16_low(sums[i]), device::bf16_high(sums[i])};
    weighted[i] = device::bf16_pair(sum.x * device::bf16_low(weights[i]),
                                    sum.y * device::bf16_high(weights[i]));
    squares += sum.x * sum.x + sum.y * sum.y;
  }
#pragma unroll
  for (int offset = 1; offset < kFours; offset *= 2) {
    squares += __shfl_xor_sync(0xFFFFFFFFU, squares, offset);
  }
  if (!there) return;
  *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(a.out) + row * a.out_stride + output) = {
      sums[0], sums[1]};
  *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(a.behind.weighted) +
                            row * a.behind.weighted_stride + output) = {weighted[0], weighted[1]};
  if (item % kFours == 0) a.behind.squares[row * (a.outputs / kPairOutputs) + block.tile] = squares;
}
static_assert(kPairOutputs == kSquaredOutputs && 2 * kFours == device::kWarpThreads);

__device__ inline void store(const Product& a, const PairPlan& plan, const PairBlock& block,
                             int item, bool there, const float4& total, const Ending& ending) {
  const int row = item / kFours;
  const std::int64_t output = output_of(block, item);
  float factor = block.unit;
  if (a.squares.sums != nullptr) factor *= norm_factor(a.squares, ending.squares, a.inputs);
  const float values[4] = {total.x * factor, total.y * factor, total.z * factor, total.w * factor};
  if (a.behind.residual != nullptr) {
    return store_sums(a, block, item, there, values, ending);
  }
  if (!there) return;
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

// Those of a thread's items, two asked for ahead.
class Endings {
 public:
  __device__ Endings(const Product& a, const PairBlock& block, const OwnItems& own, int item) {
    ask(a, block, own, item, ahead_[0]);
    ask(a, block, own, item + kThreads, ahead_[1]);
  }
  __device__ Ending next(const Product& a, const PairBlock& block, const OwnItems& own, int item) {
    const Ending ending = ahead_[0];
    ahead_[0] = ahead_[1];
    ask(a, block, own, item + 2 * kThreads, ahead_[1]);
    return ending;
  }

 private:
  __device__ static void ask(const Product& a, const PairBlock& block, const OwnItems& own,
                             int item, Ending& to) {
    if (item < own.end) to = ending_of(a, block, item);
  }
  Ending ahead_[2] = {};
};

// By way of memory, where sums say by themselves that they have come.
template <int kColumns>
__device__ void add_parts_apart(const Product& a, const PairPlan& plan, const PairBlock& block,
                                const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int share = share_of(a, plan);
  const OwnItems own(a, plan, block.part);
  int item = own.first + thread;
  Endings endings(a, block, own, item);
  constexpr int kOfPart = kSplitBlockSums / 4;
  uint4* sums = static_cast<uint4*>(a.split.awaited) +
                static_cast<std::int64_t>(block.tile) * plan.parts * kOfPart;
#pragma unroll 1
  for (int at = thread; at < static_cast<int>(a.rows) * kFours; at += kThreads) {
    if (at / share == block.part) continue;
    device::leave_at(sums + block.part * kOfPart + at,
                     as_words(block_sum_of<kColumns>(partial, at)));
  }
#pragma unroll 1
  for (; own.any_of_warp(item); item += kThreads) {
    const bool there = item < own.end;
    uint4 others[kPairPartsMax];
    const auto place = [&](int part) { return sums + part * kOfPart + item; };
    device::await(
        others, [&](int part) { return there && part < plan.parts && part != block.part; }, place);
    float4 total = {};
#pragma unroll
    for (int part = 0; part < kPairPartsMax; ++part) {
      if (!there || part >= plan.parts) continue;
      const bool mine = part == block.part;
      const float4 one = mine ? block_sum_of<kColumns>(partial, item) : as_sums(others[part]);
      if (!mine) *place(part) = device::kNothing16;  // for the next launch
      total = part == 0 ? one : sum(total, one);
    }
    store(a, plan, block, item, there, total, endings.next(a, block, own, item));
  }
}

// In a cluster, or where there is one part.
template <int kColumns>
__device__ void add_parts(const Product& a, const PairPlan& plan, const PairBlock& block,
                          const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int share = share_of(a, plan);
  const OwnItems own(a, plan, block.part);
  int item = own.first + thread;
  Endings endings(a, block, own, item);
  const std::uint32_t received = block.memory + plan.received_at;
#pragma unroll 1
  for (int at = thread; plan.parts > 1 && at < static_cast<int>(a.rows) * kFours; at += kThreads) {
    const int part = at / share;
    if (part == block.part) continue;
    const int rank = block.rank_of(part);
    const int to = block.part * share + at % share;
    device::send_16(device::address_in(received + static_cast<unsigned>(to) * 16, rank),
                    as_words(block_sum_of<kColumns>(partial, at)),
                    device::address_in(block.received(plan), rank));
  }
  device::barrier_wait(block.received(plan), 0);
#pragma unroll 1
  for (; own.any_of_warp(item); item += kThreads) {
    const bool there = item < own.end;
    float4 total = {};
#pragma unroll 1
    for (int part = 0; there && part < plan.parts; ++part) {
      const int at = part * share + item - own.first;
      const float4 one = part == block.part
                             ? block_sum_of<kColumns>(partial, item)
                             : as_sums(shared_octets(received + static_cast<unsigned>(at) * 16));
      total = part == 0 ? one : sum(total, one);
    }
    store(a, plan, block, item, there, total, endings.next(a, block, own, item));
  }
}

}  // namespace glm::kernels::cuda::pairs
