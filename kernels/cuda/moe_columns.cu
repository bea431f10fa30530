// A layer's half with experts, for a token alone: one kernel, one block per multiprocessor, as
// moe_layer.cu, for weights whose groups can be columns of the tensor-core tile
// (moe_columns_math.cuh). There, warps share out a slab by teams; here all warps multiply each
// slab, every one its own columns, whose activations it keeps in registers.
//
// What is between the halves says by itself that it has come (device/awaited.cuh): a count that is
// seen only after it takes thousands of cycles while copies are under way.
#include "kernels/cuda/moe_columns.h"

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/moe_columns_choice.cuh"
#include "kernels/cuda/moe_columns_fetcher.cuh"
#include "kernels/cuda/moe_columns_second_half.cuh"

namespace glm::kernels::cuda {
namespace {

template <class Codec>
__global__ void __launch_bounds__(kColumnThreads, 1)
    moe_columns_kernel(const __grid_constant__ MoeArgs a,
                       const __grid_constant__ ColumnsPlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  const ColumnsBlock block(a, plan, memory);
  const int warp = warp_index();
  if (warp == kFetchingWarp) {
    block.set_up();
    ColumnsFetcher<Codec::kShared> fetcher(block, 0);
    fetcher.begin();
    return fetcher.go_on();
  }
  if (warp == kWatchingWarp) {
    servants_find_set_up();
    device::wait_for_earlier_kernels();
    return take_turn<Codec>(block);
  }
  if (warp == kChoosingWarp) {
    ColumnsChoice(block).choose();
    block.wait_to_know(kTurnKnown);
    return await_wide<Codec>(block);
  }
  if (warp > kChoosingWarp) {
    ColumnsFetcher<Codec::kShared> fetcher(block, 1);
    fetcher.begin();
    servants_find_set_up();
    device::wait_for_earlier_kernels();
    return fetcher.go_on();
  }
  ColumnsWorker<Codec>::prepare(block);
  device::wait_for_earlier_kernels();
  ColumnsWorker<Codec>(block).run();
#else
  __trap();  // built for another device
#endif
}

template <class Codec>
cudaError_t launch(const MoeArgs& a, const ColumnsPlan& plan, int blocks, cudaStream_t stream) {
  const auto kernel = &moe_columns_kernel<Codec>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(blocks),
                       .threads = kColumnThreads,
                       .shared_bytes = plan.total},
                      kernel, stream, a, plan);
}

}  // namespace

cudaError_t launch_moe_columns(const MoeArgs& a, const MoeWorkspace& space,
                               const BulkLimits& limits, cudaStream_t stream) {
  const std::optional<ColumnsPlan> plan = columns_plan(a, space, limits);
  if (!plan) return cudaErrorNotSupported;
  return a.shared_coded ? launch<ColumnsFp4>(a, *plan, limits.multiprocessors, stream)
                        : launch<ColumnsInt4>(a, *plan, limits.multiprocessors, stream);
}

}  // namespace glm::kernels::cuda
