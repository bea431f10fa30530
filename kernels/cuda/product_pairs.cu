// For some tens of rows and weights in four bits or e4m3, on Hopper (sm_90a): a block has 64
// outputs, and all of its share of the columns lies in shared memory at once, weights asked for
// before the kernel in front has ended. Neighbouring blocks, a pair, need the same activations:
// each copies half of them to both. Two warpgroups take turns along the columns; weights are the
// left side of their products, decoded in registers.
//
// Where there are few outputs, columns are shared out among up to four pairs. Each block adds up a
// part of the sums of all of them, in the order of columns: neither other rows nor who comes last
// change the bits; that there are more than 32 rows does, as sums are then cut otherwise. Pairs
// that are a cluster send each other sums; others, so large that not all clusters would run at
// once, leave them in memory and wait for each other there, so that all blocks run at once.
#include <optional>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/pairs_math.cuh"
#include "kernels/cuda/pairs_sums.cuh"

namespace glm::kernels::cuda {
namespace pairs {

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
  const auto unit = Codec::unit(block.is_rest(a) ? a.up.first : a.weight.first);
  if (threadIdx.x % device::kWarpThreads == 0) set_up(a, plan, block);
  __syncthreads();  // the barriers of this block are set up
  device::cluster_arrive_relaxed();
  if (threadIdx.x >= kFetchThread) {
    fetch_weights(a, plan, maps, block);
    __syncwarp();
  }
  device::cluster_wait();  // those of the others are as well
  float sums[kChains<kColumns>][kColumns / 2] = {};
  const auto fetch = [&] {
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    fetch_rows(plan, maps, block);
    __syncwarp();
  };
  multiply<Codec, kColumns>(a, plan, block, sums, fetch);
  device::cluster_arrive_relaxed();    // what was copied to this block has come
  device::wait_for_earlier_kernels();  // before anything is written
  auto* partial = reinterpret_cast<float*>(unaligned + (base - address));
  __syncthreads();  // nobody still reads weights and activations
  block.unit = unit;
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
  if (is_fast_fp8(a)) return kernel_of<PairsFp8>(a);
  return is_fast_fp4(a) ? kernel_of<PairsFp4>(a) : kernel_of<PairsInt4>(a);
}

// All of a multiprocessor's, so that large blocks of the kernel behind, too, find room beside those
// of this one: how much is shared changes only while nothing runs there.
cudaError_t allow_shared_memory(PairsKernel kernel, const PairPlan& plan) {
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                           static_cast<int>(cudaSharedmemCarveoutMaxShared));
  if (code != cudaSuccess) return code;
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
