// For some tens of rows and weights in four bits, on Hopper (sm_90a): a block has 64 outputs, and
// all of its share of the columns lies in shared memory at once, weights asked for before the
// kernel in front has ended. Neighbouring blocks, a pair, need the same activations: each copies
// half of them to both. Two warpgroups take turns along the columns; weights are the left side of
// their products, decoded in registers.
//
// Where there are few outputs, columns are shared out among up to four blocks. They leave their
// sums in memory and, when those of all are there, each adds up its part of them in the order of
// columns: neither other rows nor who comes last change the bits. So all blocks run at once.
#include <optional>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/pairs_codecs.cuh"
#include "kernels/cuda/pairs_plan.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/counters.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/sync_threads.cuh"
#include "kernels/device/tensor_copy.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kGroupThreads = 128;
constexpr int kWorkThreads = kPairGroups * kGroupThreads;
constexpr int kThreads = kWorkThreads + device::kWarpThreads;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr int kFours = kPairOutputs / 4;  // of a row of results

struct PairBlock {
  int tile;  // of outputs
  int part;  // of the columns
  int head;
  int rank;    // in its pair
  float unit;  // of the weights
  std::uint32_t memory;

  __device__ std::uint32_t weights_full(const PairPlan& plan, int unit) const {
    return memory + plan.barriers_at + 16U * static_cast<unsigned>(unit);
  }
  __device__ std::uint32_t rows_full(const PairPlan& plan, int unit) const {
    return weights_full(plan, unit) + 8;
  }
  // Whether its outputs are those of `up`.
  __device__ bool is_rest(const Product& a) const {
    return a.joined_at > 0 && tile * kPairOutputs >= a.joined_at;
  }
  // Pairs begin with different columns, so that they do not all read the same at a time.
  __device__ int first_unit(int units) const { return tile / kPairBlocks % units; }
};
__device__ inline int unit_behind(int unit, int units) {
  return unit + 1 < units ? unit + 1 : 0;
}

__device__ void fetch_weights(const Product& a, const PairPlan& plan, const PairMaps& maps,
                              const PairBlock& block) {
  device::prefetch_map(maps.rows);
  const auto joined_at = static_cast<int>(a.joined_at);
  const bool rest = block.is_rest(a);
  const PairWeightMaps& own = maps.of[rest ? 1 : 0];
  const int first_row = block.head * static_cast<int>(a.weight_rows_per_group) +
                        block.tile * kPairOutputs - (rest ? joined_at : 0);
  int unit = block.first_unit(plan.units);
  for (int turn = 0; turn < plan.units; ++turn, unit = unit_behind(unit, plan.units)) {
    const std::uint32_t full = block.weights_full(plan, unit);
    const int in_row = block.part * plan.units + unit;
    device::barrier_arrive_expecting(full, kPairGroups * kPairHalfBytes + kPairScalesBytes);
    device::barrier_arrive_expecting(block.rows_full(plan, unit), kPairUnitBoxes * plan.box);
#pragma unroll
    for (int half = 0; half < kPairGroups; ++half) {
      device::copy_box(
          block.memory + static_cast<unsigned>(unit * kPairGroups + half) * kPairHalfBytes,
          own.weights, {(in_row * kPairGroups + half) * kPairHalf / 2, first_row, 0}, full);
    }
    device::copy_box(block.memory + plan.scales_at + static_cast<unsigned>(unit) * kPairScalesBytes,
                     own.scales, {in_row * static_cast<int>(kPairScaleRowBytes), first_row, 0},
                     full);
  }
}

// To both blocks of the pair, which have barriers set up.
__device__ void fetch_rows(const PairPlan& plan, const PairMaps& maps, const PairBlock& block) {
  int unit = block.first_unit(plan.units);
  for (int turn = 0; turn < plan.units; ++turn, unit = unit_behind(unit, plan.units)) {
    const std::uint32_t full = block.rows_full(plan, unit);
#pragma unroll
    for (int i = 0; i < kPairUnitBoxes / kPairBlocks; ++i) {
      const int box = unit * kPairUnitBoxes + kPairBlocks * i + block.rank;
      device::copy_box_to_blocks(
          block.memory + plan.rows_at + static_cast<unsigned>(box) * plan.box_pitch, maps.rows,
          {(block.part * plan.units * kPairUnitBoxes + box) * kPairBox, 0, block.head}, full,
          (1U << kPairBlocks) - 1);
    }
  }
}

__device__ inline uint2 shared_scales(std::uint32_t address) {
  uint2 four;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];\n" : "=r"(four.x), "=r"(four.y) : "r"(address));
  return four;
}

// A product waits for the one before it that has the same sums: so there are two.
constexpr int kChains = 2;

// What a warpgroup has of a unit, as the left side of its products.
using LeftUnit = LeftSide[kPairPieces];

template <class Codec>
__device__ __forceinline__ void decode(const PairPlan& plan, const PairBlock& block, int unit,
                                       LeftUnit& left) {
  constexpr unsigned kWeightRow = kPairHalf / 2;
  const auto group = static_cast<unsigned>(threadIdx.x) / kGroupThreads;
  const unsigned lane = threadIdx.x % device::kWarpThreads;
  const unsigned row = threadIdx.x % kGroupThreads / device::kWarpThreads * 16 + lane / 4;
  const auto number = static_cast<unsigned>(unit);
  const std::uint32_t weights =
      block.memory + (number * kPairGroups + group) * kPairHalfBytes + row * kWeightRow;
  const std::uint32_t scales = block.memory + plan.scales_at + number * kPairScalesBytes +
                               row * kPairScaleRowBytes +
                               group * (kPairScaleRowBytes / kPairGroups);
#pragma unroll
  for (unsigned lower = 0; lower < 2; ++lower) {
    const typename Codec::Scales own(shared_scales(scales + lower * 8 * kPairScaleRowBytes));
#pragma unroll
    for (unsigned piece = 0; piece < kPairPieces; ++piece) {
      const uint4 words = shared_octets(weights + lower * 8 * kWeightRow + (piece ^ lane / 8) * 16);
      const auto pair = [&](std::uint32_t word, unsigned second) {
        return Codec::pair(word, static_cast<int>(lane), own, piece, second);
      };
      left[piece][0][lower] = pair(words.x, 0);
      left[piece][0][2 + lower] = pair(words.y, 0);
      left[piece][1][lower] = pair(words.z, 1);
      left[piece][1][2 + lower] = pair(words.w, 1);
    }
  }
}

template <class Codec, int kColumns>
__device__ __forceinline__ void multiply(const PairPlan& plan, const PairBlock& block,
                                         float (&sums)[kChains][kColumns / 2]) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  LeftUnit left[2];
  device::hold(sums[0]);
  device::hold(sums[1]);
  int unit = block.first_unit(plan.units);
  const auto one = [&](LeftUnit& own) {
    device::barrier_wait(block.weights_full(plan, unit), 0);
    decode<Codec>(plan, block, unit, own);
    device::barrier_wait(block.rows_full(plan, unit), 0);
    const std::uint32_t rows =
        block.memory + plan.rows_at +
        static_cast<unsigned>((unit * kPairGroups + group) * (kPairHalf / kPairBox)) *
            plan.box_pitch;
    device::warpgroup_begin();
#pragma unroll
    for (unsigned piece = 0; piece < kPairPieces; ++piece) {
      const std::uint64_t right =
          device::right_side(rows + piece / 2 * plan.box_pitch) + 4 * (piece % 2);
      device::multiply_64<kColumns>(sums[0], own[piece][0], right);
      device::multiply_64<kColumns>(sums[1], own[piece][1], right + 2);
    }
    device::warpgroup_commit();
    device::warpgroup_wait<1>();  // those before have ended
    unit = unit_behind(unit, plan.units);
  };
  int turn = 0;
#pragma unroll 1
  for (; turn + 2 <= plan.units; turn += 2) {
    one(left[0]);
    one(left[1]);
  }
  if (turn < plan.units) one(left[0]);
  device::warpgroup_wait<0>();
  device::hold(sums[0]);
  device::hold(sums[1]);
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) sums[0][i] += sums[1][i];
}

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

__device__ void store(const Product& a, const PairPlan& plan, const PairBlock& block, int item,
                      const float4& total) {
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
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (output + i < a.outputs) put(a, row, block.head, output + i, values[i]);
  }
}

template <int kColumns>
__device__ void add_parts(const Product& a, const PairPlan& plan, const PairBlock& block,
                          const float* partial) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int items = static_cast<int>(a.rows) * kFours;
  auto* sums = reinterpret_cast<float4*>(a.split.sums) +
               static_cast<std::int64_t>(block.tile) * plan.parts * (kSplitBlockSums / 4);
  std::uint32_t* count = a.split.counts + block.tile;
  const auto parts = static_cast<unsigned>(plan.parts);
  for (int item = thread; item < items; item += kWorkThreads) {
    __stcg(sums + block.part * (kSplitBlockSums / 4) + item, block_sum_of<kColumns>(partial, item));
  }
  device::sync_threads(1, kWorkThreads);  // the sums of this block are written
  if (thread == 0) {
    device::add_release(count, 1);
    if (!device::wait_at_least(count, parts)) __trap();
  }
  device::sync_threads(1, kWorkThreads);  // those of all parts are there
  for (int item = block.part * kWorkThreads + thread; item < items;
       item += plan.parts * kWorkThreads) {
    float4 total = {};
#pragma unroll
    for (int part = 0; part < kPairPartsMax; ++part) {
      if (part >= plan.parts) break;
      const float4 others = __ldcg(sums + part * (kSplitBlockSums / 4) + item);
      total = part == 0 ? others : sum(total, others);
    }
    store(a, plan, block, item, total);
  }
  // All have been seen to be there by all: the last to say so leaves the counter as it was.
  if (thread == 0 && atomicAdd(count, 1U) + 1 == 2 * parts) *count = 0;
}

#endif

template <class Codec, int kColumns>
__global__ void __launch_bounds__(kThreads, 1)
    pairs_kernel(const __grid_constant__ Product a, const __grid_constant__ PairPlan plan,
                 const __grid_constant__ PairMaps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const std::uint32_t address = device::shared_address(unaligned);
  const std::uint32_t base = (address + kPairAlignment - 1) / kPairAlignment * kPairAlignment;
  const int pair = static_cast<int>(blockIdx.x) / kPairBlocks;
  const int rank = static_cast<int>(blockIdx.x) % kPairBlocks;
  PairBlock block{.tile = pair / plan.parts * kPairBlocks + rank,
                  .part = pair % plan.parts,
                  .head = static_cast<int>(blockIdx.z),
                  .rank = rank,
                  .unit = 1,
                  .memory = base};
  block.unit = Codec::unit(block.is_rest(a) ? a.up.first : a.weight.first);
  if (threadIdx.x == 0) {
    for (int unit = 0; unit < plan.units; ++unit) {
      device::barrier_set_up(block.weights_full(plan, unit), 1);
      device::barrier_set_up(block.rows_full(plan, unit), 1);
    }
    device::barriers_are_set_up();
  }
  __syncthreads();  // the barriers of this block are set up
  device::cluster_arrive();
  if (threadIdx.x == kWorkThreads) fetch_weights(a, plan, maps, block);
  __syncwarp();
  device::cluster_wait();  // those of the other are as well
  if (threadIdx.x >= kWorkThreads) {
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    if (threadIdx.x == kWorkThreads) fetch_rows(plan, maps, block);
    __syncwarp();
    device::cluster_arrive();
  } else {
    float sums[kChains][kColumns / 2] = {};
    multiply<Codec, kColumns>(plan, block, sums);
    device::cluster_arrive();
    device::wait_for_earlier_kernels();  // before anything is written
    auto* partial = reinterpret_cast<float*>(unaligned + (base - address));
    device::sync_threads(1, kWorkThreads);  // nobody still reads weights and activations
    leave<kColumns>(sums[0], partial);
    device::sync_threads(1, kWorkThreads);  // the sums of all warps are there
    if (plan.parts > 1) {
      add_parts<kColumns>(a, plan, block, partial);
    } else {
      for (int item = static_cast<int>(threadIdx.x); item < static_cast<int>(a.rows) * kFours;
           item += kWorkThreads) {
        store(a, plan, block, item, block_sum_of<kColumns>(partial, item));
      }
    }
  }
  __syncwarp();            // all lanes are through with their results
  device::cluster_wait();  // nobody still copies to a block that has ended
#else
  __trap();  // built for another device
#endif
}

EarlyLaunch how_to_launch(const Product& a, const PairPlan& plan) {
  return {
      .grid = {static_cast<unsigned>(plan.tiles * plan.parts), 1, static_cast<unsigned>(a.groups)},
      .threads = kThreads,
      .shared_bytes = plan.total,
      .cluster = kPairBlocks};
}

using PairsKernel = void (*)(Product, PairPlan, PairMaps);
template <class Codec>
PairsKernel kernel_of(const Product& a) {
  return a.rows <= kPairRowsMax / 2 ? &pairs_kernel<Codec, kPairRowsMax / 2>
                                    : &pairs_kernel<Codec, kPairRowsMax>;
}
PairsKernel kernel_for(const Product& a) {
  return is_fast_fp4(a) ? kernel_of<PairsFp4>(a) : kernel_of<PairsInt4>(a);
}

cudaError_t allow_shared_memory(PairsKernel kernel, const PairPlan& plan) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(plan.total));
}

}  // namespace

bool supports_pairs(const Product& a) {
  const std::optional<PairPlan> plan = pair_plan(a);
  if (!plan) return false;
  if (plan->parts == 1) return true;
  const PairsKernel kernel = kernel_for(a);
  return allow_shared_memory(kernel, *plan) == cudaSuccess &&
         fits_at_once(how_to_launch(a, *plan), kernel);
}

cudaError_t launch_pairs(const Product& a, cudaStream_t stream) {
  const std::optional<PairPlan> plan = pair_plan(a);
  if (!plan) return cudaErrorNotSupported;
  PairMaps maps;
  cudaError_t code = make_pair_maps(a, *plan, maps);
  if (code != cudaSuccess) return code;
  const PairsKernel kernel = kernel_for(a);
  code = allow_shared_memory(kernel, *plan);
  if (code != cudaSuccess) return code;
  return launch_early(how_to_launch(a, *plan), kernel, stream, a, *plan, maps);
}

}  // namespace glm::kernels::cuda
