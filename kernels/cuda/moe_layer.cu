// A layer's half with experts, for few tokens: one kernel, one block per multiprocessor. Weights
// flow through a ring of stages in shared memory from the beginning to the end, while the blocks
// wait twice for each other.
//
//   servants   fetch shared experts' first half | choose | fetch first halves | fetch second halves
//   others     logits | shared first half ------------- | first halves ====== | second halves, sum
//              ...... some blocks compute logits, all wait for them
//              ====== all blocks wait for what all others have between the halves
//
// The shared expert's weights come first: they need no choice, and hide how long it takes. Of the
// second halves a block has all experts for its sixteen outputs: so it adds them itself, in the
// order of their indices, and a token's bits do not depend on the others.
//
// Blocks that wait for each other must all be there. They are: as many as multiprocessors, one on
// each, and what ran before ends without them.
#include "base/check.h"
#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_second_half.cuh"

namespace glm::kernels::cuda {
namespace {

// What each kind of warp does until the choice is known, and after it. All meet in between, at one
// place in the code, which is what tools that look for races ask for.
template <class Codec>
__device__ void before_choice(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  if (warp < kMoeWarps) {
    Worker<Codec> worker(a, plan, memory, 0);
    worker.ask_for_router();
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    worker.before_choice();
  } else if (warp == kMoeWarps) {
    wait_for_router(a);
    Fetcher fetcher(plan, memory, 0, 0, 1);
    fetch_shared_first_half(a, plan, fetcher);
  } else if (a.tokens <= kChooserWarps) {
    constexpr Choosers kThese{
        .warps = kChooserWarps, .first_warp = kMoeWarps + 1, .barrier = kChoosersBarrier};
    load_bias(a, plan, memory, kThese);
    device::wait_for_earlier_kernels();
    choose(a, plan, memory, kThese);
  }
}
template <class Codec>
__device__ void after_choice(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const Share wide = equal_share(plan, plan.wide_slabs);
  const int items = (wide.end - wide.begin) * kQuads;  // of the shared expert's first half
  if (warp < kMoeWarps) {
    Worker<Codec>(a, plan, memory, items).after_choice();
  } else {
    // Of few tokens one warp keeps up, and more would delay what others wait for.
    const int fetchers = a.tokens <= kChooserWarps ? 1 : kMoeServants;
    if (warp >= kMoeWarps + fetchers) return;
    Fetcher fetcher(plan, memory, items, warp - kMoeWarps, fetchers);
    const MoeRouting routing(memory, plan, a.rule.experts);
    fetch_first_half<Codec::kParts>(a, plan, routing.active, *routing.count, fetcher);
    fetch_second_half<Codec::kParts>(a, plan, routing.active, *routing.count, fetcher);
  }
}

template <class Codec>
__global__ void __launch_bounds__(kWorkers + kServants, 1)
    moe_layer_kernel(const __grid_constant__ MoeArgs a, const __grid_constant__ MoePlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  if (threadIdx.x == 0) {
    const std::uint32_t full = device::shared_address(memory + plan.barriers_at);
#pragma unroll 1
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(full + 8 * i, 1);
      device::barrier_set_up(full + 8 * (plan.stages + i), kTeamWarps);
    }
    const std::uint32_t teams = device::shared_address(memory + plan.team_barriers_at);
#pragma unroll 1
    for (int i = 0; i < kMoeTeams * kBuffers; ++i) {
      device::barrier_set_up(teams + 8 * i, kTeamWarps - 1);
    }
    device::barriers_are_set_up();
  }
  const MoeRouting routing(memory, plan, a.rule.experts);
#pragma unroll 1
  for (int e = static_cast<int>(threadIdx.x); e < a.rule.experts; e += kWorkers + kServants) {
    routing.masks[e] = 0;
  }
  __syncthreads();  // barriers are set up, masks are empty
  before_choice<Codec>(a, plan, memory);
  __syncthreads();  // the choice is known
  after_choice<Codec>(a, plan, memory);
#else
  __trap();  // built for another device
#endif
}

template <class Codec>
cudaError_t launch(const MoeArgs& a, const MoePlan& plan, int blocks, cudaStream_t stream) {
  const auto kernel = &moe_layer_kernel<Codec>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(blocks),
                       .threads = kWorkers + kServants,
                       .shared_bytes = plan.total},
                      kernel, stream, a, plan);
}

}  // namespace

cudaError_t launch_moe_layer(const MoeLayer& a, const MoeWorkspace& space, cudaStream_t stream) {
  const std::optional<MoeArgs> args = moe_args(a, space);
  if (!args) return cudaErrorNotSupported;
  const BulkLimits limits = bulk_limits();
  const std::optional<MoePlan> plan = moe_plan(*args, limits);
  if (!plan) return cudaErrorNotSupported;
  const int blocks = limits.multiprocessors;
  if (is_fast_fp4(args->inner)) return launch<BulkFp4>(*args, *plan, blocks, stream);
  return args->inner.weight.first.zeros != nullptr
             ? launch<BulkInt4<true>>(*args, *plan, blocks, stream)
             : launch<BulkInt4<false>>(*args, *plan, blocks, stream);
}

}  // namespace glm::kernels::cuda
