// One warp per token; scores lie in shared memory. Contract: kernels/ops/router_topk.h.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/router_choice.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace {

struct Args {
  RouterRule rule;
  std::int32_t* ids;
  float* weights;
  const float* logits;
  std::int64_t logits_stride;
};

__global__ void router_kernel(Args a) {
  extern __shared__ __align__(16) std::uint8_t scratch[];
  const std::int64_t token = blockIdx.x;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  read_logits(a.rule, a.logits + token * a.logits_stride, scratch);
  choose_experts(a.rule, scratch, a.ids + token * a.rule.chosen, a.weights + token * a.rule.chosen);
}

}  // namespace

cudaError_t launch_router_topk(const RouterTopK& a, cudaStream_t stream) {
  if (a.logits.size(0) == 0) return cudaSuccess;
  const Args args{.rule = router_rule(a),
                  .ids = a.ids.as<std::int32_t>(),
                  .weights = a.weights.as<float>(),
                  .logits = a.logits.as<float>(),
                  .logits_stride = a.logits.stride(0)};
  return launch_early({.grid = static_cast<unsigned>(a.logits.size(0)),
                       .threads = device::kWarpThreads,
                       .shared_bytes = args.rule.scratch_bytes()},
                      &router_kernel, stream, args);
}

}  // namespace glm::kernels::cuda
