// A layer's half with experts, for few tokens: one kernel, one block per multiprocessor. Weights
// flow through a ring of stages in shared memory from the beginning to the end.
//
//   fetcher   shared experts' first half | first halves            | second halves
//   choosers  choose, list ............. | tell others, and watch them
//   workers   shared first half .........| first halves of two lots | shared second half, second
//                                                                     halves, sum
//             ...... until the choice is known to the block
//
// What is between the halves goes through memory. Nobody waits for the slowest block where experts
// are many enough: the second halves of the first lot can begin when the block is through with the
// first halves of the second.
//
// What experts are wanted is known early: the kernel in front leaves the router's logits, or sums
// that become logits (moe_front.cu). The shared expert's weights come first all the same, before
// that kernel has ended. Of the second halves a block has all experts for its sixteen outputs: so
// it adds them itself, in the order of their indices, and a token's bits do not depend on the
// others.
//
// Blocks that wait for each other must all be there. They are: as many as multiprocessors, one on
// each, and what ran before ends without them.
#include "base/check.h"
#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/moe_columns.h"
#include "kernels/cuda/moe_front.h"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_second_half.cuh"

namespace glm::kernels::cuda {
namespace {

template <class Codec, bool kCoded>
__device__ void fetch(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const int fetchers = a.tokens <= kOneFetcherTokens ? 1 : kFetchersMax;
  const int warp = warp_index() - kMoeWarps;
  if (warp >= fetchers) return;
  if (warp == 0) {
    Fetcher fetcher(plan, memory, 0, 0, 1, kInFlightEarly);
    fetch_shared_first_half<kCoded, Codec::kParts>(a, plan, fetcher);
  }
  wait_to_know(plan, memory, kChoiceKnown);
  // None is more than a round of stages ahead of the others.
  if (fetchers > 1) device::sync_threads(kFetchersBarrier, kFetchersMax * device::kWarpThreads);
  const Share wide = equal_share(plan, plan.wide_slabs);
  Fetcher fetcher(plan, memory, (wide.end - wide.begin) * kSharedItems<kCoded>, warp, fetchers,
                  kInFlight);
  const MoeRouting routing(memory, plan, a.rule.experts);
  fetch_first_half<Codec::kParts>(a, plan, routing.active, *routing.count, fetcher);
  fetch_second_half<kCoded, Codec::kParts>(a, plan, memory, routing.active, *routing.count,
                                           fetcher);
}

template <class Codec, bool kCoded>
__device__ void serve(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  if (warp_index() == kWatcher) {
    make_known(plan, memory, kChoiceKnown);
    return watch(a, plan, memory);
  }
  if (warp_index() == kTeller) {
    tell_choice(a, plan, memory);
    return tell_others(a, plan, memory);
  }
  fetch<Codec, kCoded>(a, plan, memory);
}

template <class Codec, bool kCoded>
__global__ void __launch_bounds__(kWorkers + kServants, 1)
    moe_layer_kernel(const __grid_constant__ MoeArgs a, const __grid_constant__ MoePlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  set_up_barriers(plan, memory, a.tokens);
  const MoeRouting routing(memory, plan, a.rule.experts);
#pragma unroll 1
  for (int e = static_cast<int>(threadIdx.x); e < a.rule.experts; e += kWorkers + kServants) {
    routing.masks[e] = 0;
  }
  if (threadIdx.x == 0) *largest_of_norm(plan, memory) = 0;
  __syncthreads();  // barriers are set up, masks are empty
  const bool works = warp_index() < kMoeWarps;
  if (warp_index() != kMoeWarps) {
    const int token = chooses_for(a);
    const bool chooses = token >= 0 && token < a.tokens;
    const LaneBias bias(a.rule);
    if (works) prepare(a, plan, memory);
    if (works && std::is_same_v<Codec, FrontedFp4>) find_largest_of_norm(a, plan, memory);
    if (!are_few(a.rule)) {
      device::sync_threads(kPreparedBarrier, kWorkers + kChooserWarps * device::kWarpThreads);
    }
    if (works && std::is_same_v<Codec, FrontedFp4>) workers_meet();  // the norm is known
    device::wait_for_earlier_kernels();
    if (works) device::let_later_kernels_start();
    if (warp_index() == kWatcher) {
      note_phases(a, plan, memory);
    }
    if (chooses) choose_for(a, plan, memory, token, bias);
  }
  if (works) {
    Worker<Codec, kCoded>(a, plan, memory).run();
  } else {
    serve<Codec, kCoded>(a, plan, memory);
  }
#else
  __trap();  // built for another device
#endif
}

template <class Codec, bool kCoded>
cudaError_t launch(const MoeArgs& a, const MoePlan& plan, int blocks, cudaStream_t stream) {
  const auto kernel = &moe_layer_kernel<Codec, kCoded>;
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

template <class Codec>
cudaError_t launch(const MoeArgs& a, const MoePlan& plan, int blocks, cudaStream_t stream) {
  return a.shared_coded ? launch<Codec, true>(a, plan, blocks, stream)
                        : launch<Codec, false>(a, plan, blocks, stream);
}

// What leads to x and to the router's logits, in parts.
cudaError_t launch_parts(const MoeLayer& a, const SplitSums& split, cudaStream_t stream) {
  if (a.front) {
    if (const cudaError_t code = launch_linear(a.front.projection, "", stream, split);
        code != cudaSuccess) {
      return code;
    }
    if (const cudaError_t code = launch_rms_norm(a.front.norm, stream); code != cudaSuccess) {
      return code;
    }
  }
  return launch_linear({.out = a.logits, .x = a.x, .weight = a.router}, "", stream, {});
}

cudaError_t launch_kernel(const MoeArgs& args, const MoePlan& plan, int blocks,
                          cudaStream_t stream) {
  const bool nvfp4 = args.inner.weight.first.scale_type == device::ScaleType::e4m3 &&
                     args.outer.weight.first.scale_type == device::ScaleType::e4m3;
  if (is_fast_fp4(args.inner) && nvfp4 && args.norm != nullptr && args.shared_coded) {
    return launch<FrontedFp4, true>(args, plan, blocks, stream);
  }
  if (is_fast_fp8(args.inner)) return launch<BulkFp8, true>(args, plan, blocks, stream);
  if (is_fast_fp4(args.inner)) return launch<BulkFp4>(args, plan, blocks, stream);
  return args.inner.weight.first.zeros != nullptr
             ? launch<BulkInt4Zeros>(args, plan, blocks, stream)
             : launch<BulkInt4>(args, plan, blocks, stream);
}

cudaError_t clear_scores(const MoeLayer& a, const MoeWorkspace& space, cudaStream_t stream) {
  const auto scores =
      static_cast<std::size_t>(kMoeScoredTokens * (a.router.layout.rows + kMoeSquares));
  return cudaMemsetAsync(space.scores, 0, scores * sizeof(MoeScore), stream);
}

}  // namespace

cudaError_t launch_moe_layer(const MoeLayer& layer, const MoeWorkspace& space,
                             const SplitSums& split, cudaStream_t stream) {
  MoeLayer a = layer;
  const bool fronted = a.front && supports_moe_front(a);
  if (!fronted) a.front = {};
  const std::optional<MoeArgs> args = moe_args(a, space);
  if (!args) return cudaErrorNotSupported;
  const BulkLimits limits = bulk_limits();
  const std::optional<MoePlan> plan = moe_plan(*args, limits);
  if (!plan) return cudaErrorNotSupported;
  if (const cudaError_t code =
          fronted ? launch_moe_front(a, space, stream) : launch_parts(layer, split, stream);
      code != cudaSuccess) {
    return code;
  }
  cudaError_t code = launch_moe_columns(*args, space, limits, stream);
  if (code == cudaErrorNotSupported) {
    code = launch_kernel(*args, *plan, limits.multiprocessors, stream);
  }
  // Nobody else clears what the front has added.
  if (code != cudaSuccess && fronted) (void)clear_scores(a, space, stream);
  return code;
}

}  // namespace glm::kernels::cuda
