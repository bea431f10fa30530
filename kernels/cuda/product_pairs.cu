// For some tens of rows and weights in four bits, on Hopper (sm_90a): a block has 64 outputs, and
// all of its share of the columns lies in shared memory at once, weights asked for before the
// kernel in front has ended. Neighbouring blocks, a pair, need the same activations: each copies
// half of them to both. Two warpgroups take turns along the columns; weights are the left side of
// their products, decoded in registers.
//
// Where there are few outputs, columns are shared out among up to four pairs. Each block adds up a
// part of the sums of all of them, in the order of columns: neither other rows nor who comes last
// change the bits; that there are more than 32 rows does, as sums are then cut otherwise. Pairs
// that are a cluster send each other sums; others, so large that not all clusters would run at
// once, leave them in memory and wait for each other there, so that all blocks run at once.
#include <optional>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/pairs_codecs.cuh"
#include "kernels/cuda/pairs_sums.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {
namespace pairs {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

__device__ inline uint2 shared_scales(std::uint32_t address) {
  uint2 four;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];\n" : "=r"(four.x), "=r"(four.y) : "r"(address));
  return four;
}

// A product waits for the one before it that has the same sums: so there are two, but of large
// ones, which take longer than that.
template <int kColumns>
constexpr int kChains = kColumns < kPairRowsMax ? 2 : 1;

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
                                         float (&sums)[kChains<kColumns>][kColumns / 2]) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  LeftUnit left[2];
  for (auto& chain : sums) device::hold(chain);
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
      device::multiply_64<kColumns>(sums[kChains<kColumns> - 1], own[piece][1], right + 2);
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
  for (auto& chain : sums) device::hold(chain);
  constexpr bool kTwoChains = kChains<kColumns> == 2;
  if constexpr (kTwoChains) {
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sums[0][i] += sums[1][i];
  }
}

#endif

// Two blocks have room on a multiprocessor where they are small: those of the kernel behind ask for
// their weights.
template <class Codec, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
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
    device::barrier_set_up(block.received(plan), 1);
    device::barriers_are_set_up();
    device::barrier_arrive_expecting(
        block.received(plan),
        plan.together ? static_cast<unsigned>((plan.parts - 1) * share_of(a, plan)) * 16 : 0);
  }
  __syncthreads();  // the barriers of this block are set up
  device::cluster_arrive_relaxed();
  if (threadIdx.x == kFetchThread) fetch_weights(a, plan, maps, block);
  __syncwarp();
  device::cluster_wait();  // those of the others are as well
  if (threadIdx.x >= kFetchThread) {
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    if (threadIdx.x == kFetchThread) fetch_rows(plan, maps, block);
    __syncwarp();
  }
  float sums[kChains<kColumns>][kColumns / 2] = {};
  multiply<Codec, kColumns>(plan, block, sums);
  device::cluster_arrive_relaxed();    // what was copied to this block has come
  device::wait_for_earlier_kernels();  // before anything is written
  auto* partial = reinterpret_cast<float*>(unaligned + (base - address));
  __syncthreads();  // nobody still reads weights and activations
  leave<kColumns>(sums[0], partial);
  __syncthreads();  // the sums of all warps are there
  if (plan.parts > 1 && !plan.together) {
    add_parts_apart<kColumns>(a, plan, block, partial);
  } else {
    add_parts<kColumns>(a, plan, block, partial);
  }
  __syncwarp();            // all lanes are through with their results
  device::cluster_wait();  // nobody still copies to a block that has ended
#else
  __trap();  // built for another device
#endif
}

}  // namespace pairs
namespace {

EarlyLaunch how_to_launch(const Product& a, const PairPlan& plan) {
  return {
      .grid = {static_cast<unsigned>(plan.tiles * plan.parts), 1, static_cast<unsigned>(a.groups)},
      .threads = pairs::kThreads,
      .shared_bytes = plan.total,
      .cluster = static_cast<unsigned>(plan.together ? kPairBlocks * plan.parts : kPairBlocks)};
}

using PairsKernel = void (*)(Product, PairPlan, PairMaps);
template <class Codec>
PairsKernel kernel_of(const Product& a) {
  const std::int64_t columns = pair_columns(a.rows);
  return columns == 16   ? &pairs::pairs_kernel<Codec, 16>
         : columns == 32 ? &pairs::pairs_kernel<Codec, 32>
                         : &pairs::pairs_kernel<Codec, 64>;
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
  EarlyLaunch how = how_to_launch(a, *plan);
  if (plan->together) how.grid = how.cluster;  // clusters do not wait for each other
  return allow_shared_memory(kernel, *plan) == cudaSuccess && fits_at_once(how, kernel);
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
