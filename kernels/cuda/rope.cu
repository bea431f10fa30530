// One block per token: sines and cosines once, then every head. Contract: kernels/ops/rope.h.
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/turn.cuh"

namespace glm::kernels::cuda {
namespace {

template <typename T>
struct Args {
  T* out;
  const T* x;
  device::Turns turns;
  std::int64_t out_token, out_head;  // strides
  std::int64_t x_token, x_head;
  int heads;
  int dim;
};

template <typename T>
__global__ void rope_kernel(Args<T> a) {
  extern __shared__ float2 turns[];  // (cos, sin) of each pair
  const std::int64_t token = blockIdx.x;
  const int half = a.turns.half;
  for (int k = static_cast<int>(threadIdx.x); k < half; k += static_cast<int>(blockDim.x)) {
    turns[k] = a.turns.turn(token, k);
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  __syncthreads();  // every thread uses every turn
  const int rest = a.dim - 2 * half;
  const int units = half + rest;  // pairs, then single elements that pass through
  for (int i = static_cast<int>(threadIdx.x); i < a.heads * units;
       i += static_cast<int>(blockDim.x)) {
    const int head = i / units;
    const int unit = i % units;
    const T* x = a.x + token * a.x_token + head * a.x_head;
    T* out = a.out + token * a.out_token + head * a.out_head;
    if (unit < half) {
      a.turns.apply(out, x, unit, turns[unit]);
    } else {
      out[unit + half] = x[unit + half];
    }
  }
}

template <typename T>
cudaError_t launch(const Rope& a, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  const Args<T> args{.out = static_cast<T*>(a.out.data),
                     .x = static_cast<const T*>(a.x.data),
                     .turns = device_turns(a),
                     .out_token = a.out.stride(0),
                     .out_head = a.out.stride(1),
                     .x_token = a.x.stride(0),
                     .x_head = a.x.stride(1),
                     .heads = static_cast<int>(a.x.size(1)),
                     .dim = static_cast<int>(a.x.size(2))};
  return launch_early({.grid = static_cast<unsigned>(a.x.size(0)),
                       .threads = kThreads,
                       .shared_bytes = static_cast<std::size_t>(args.turns.half) * sizeof(float2)},
                      &rope_kernel<T>, stream, args);
}

}  // namespace

cudaError_t launch_rope(const Rope& a, cudaStream_t stream) {
  if (a.x.size(0) == 0) return cudaSuccess;
  return a.x.dtype == Dtype::f32 ? launch<float>(a, stream) : launch<__nv_bfloat16>(a, stream);
}

}  // namespace glm::kernels::cuda
