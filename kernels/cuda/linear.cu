// The naive variant: one warp per output of one token. It supports every shape, and is what faster
// variants are compared with. Contract: kernels/ops/linear.h; bf16 weights so far.
#include "kernels/cuda/launch.h"
#include "kernels/device/numbers.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kWarps = 8;  // in a block

template <typename Out>
struct Args {
  Out* out;
  const __nv_bfloat16* x;
  const __nv_bfloat16* weight;
  const float* bias;  // may be null
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t tokens;
  std::int64_t outputs;
  std::int64_t inputs;
};

template <typename Out>
__global__ void linear_kernel(Args<Out> a) {
  const std::int64_t output =
      static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / device::kWarpThreads;
  const unsigned lane = threadIdx.x % device::kWarpThreads;
  if (output >= a.outputs) return;
  const __nv_bfloat16* weight = a.weight + output * a.inputs;
  for (std::int64_t token = blockIdx.y; token < a.tokens; token += gridDim.y) {
    const __nv_bfloat16* x = a.x + token * a.x_stride;
    float sum = 0;
    for (std::int64_t i = lane; i < a.inputs; i += device::kWarpThreads) {
      sum += device::load(x + i) * device::load(weight + i);
    }
    sum = device::warp_sum(sum);
    if (lane == 0) {
      if (a.bias != nullptr) sum += a.bias[output];
      device::store(a.out + token * a.out_stride + output, sum);
    }
  }
}

template <typename Out>
cudaError_t launch(const Linear& a, cudaStream_t stream) {
  constexpr std::int64_t kGridYMax = 65535;
  const Args<Out> args{.out = static_cast<Out*>(a.out.data),
                       .x = static_cast<const __nv_bfloat16*>(a.x.data),
                       .weight = static_cast<const __nv_bfloat16*>(a.weight.data),
                       .bias = static_cast<const float*>(a.bias.data),
                       .out_stride = a.out.stride(0),
                       .x_stride = a.x.stride(0),
                       .tokens = a.x.size(0),
                       .outputs = a.out.size(1),
                       .inputs = a.x.size(1)};
  const dim3 grid(static_cast<unsigned>((args.outputs + kWarps - 1) / kWarps),
                  static_cast<unsigned>(args.tokens < kGridYMax ? args.tokens : kGridYMax));
  linear_kernel<Out><<<grid, kWarps * device::kWarpThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_linear(const Linear& a, cudaStream_t stream) {
  if (a.x.size(0) == 0 || a.out.size(1) == 0) return cudaSuccess;
  return a.out.dtype == Dtype::f32 ? launch<float>(a, stream) : launch<__nv_bfloat16>(a, stream);
}

}  // namespace glm::kernels::cuda
