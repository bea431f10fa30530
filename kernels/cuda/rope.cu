// One block per token: sines and cosines once, then every head. Contract: kernels/ops/rope.h.
#include "kernels/cuda/attention.h"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::cuda {
namespace {

template <typename T>
struct Args {
  T* out;
  const T* x;
  const std::int32_t* positions;
  const float* inv_freq;
  std::int64_t out_token, out_head;  // strides
  std::int64_t x_token, x_head;
  int heads;
  int dim;
  int half;
  bool interleaved;
};

template <typename T>
__global__ void rope_kernel(Args<T> a) {
  extern __shared__ float2 turns[];  // (cos, sin) of each pair
  const std::int64_t token = blockIdx.x;
  for (int k = static_cast<int>(threadIdx.x); k < a.half; k += static_cast<int>(blockDim.x)) {
    // The angle is an f32 product; from there f64, which is exact enough to round right and reduces
    // large angles fully.
    const float angle = static_cast<float>(a.positions[token]) * a.inv_freq[k];
    double sine = 0;
    double cosine = 0;
    sincos(static_cast<double>(angle), &sine, &cosine);
    turns[k] = {static_cast<float>(cosine), static_cast<float>(sine)};
  }
  __syncthreads();  // every thread uses every turn
  const int rest = a.dim - 2 * a.half;
  const int units = a.half + rest;  // pairs, then single elements that pass through
  for (int i = static_cast<int>(threadIdx.x); i < a.heads * units;
       i += static_cast<int>(blockDim.x)) {
    const int head = i / units;
    const int unit = i % units;
    const T* x = a.x + token * a.x_token + head * a.x_head;
    T* out = a.out + token * a.out_token + head * a.out_head;
    if (unit >= a.half) {
      const int c = unit + a.half;
      out[c] = x[c];
      continue;
    }
    const int first = a.interleaved ? 2 * unit : unit;
    const int second = a.interleaved ? 2 * unit + 1 : unit + a.half;
    const float2 turn = turns[unit];
    const float x_first = device::load(x + first);
    const float x_second = device::load(x + second);
    device::store(out + first, x_first * turn.x - x_second * turn.y);
    device::store(out + second, x_second * turn.x + x_first * turn.y);
  }
}

template <typename T>
cudaError_t launch(const Rope& a, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  const Args<T> args{.out = static_cast<T*>(a.out.data),
                     .x = static_cast<const T*>(a.x.data),
                     .positions = a.positions.as<std::int32_t>(),
                     .inv_freq = a.inv_freq.as<float>(),
                     .out_token = a.out.stride(0),
                     .out_head = a.out.stride(1),
                     .x_token = a.x.stride(0),
                     .x_head = a.x.stride(1),
                     .heads = static_cast<int>(a.x.size(1)),
                     .dim = static_cast<int>(a.x.size(2)),
                     .half = static_cast<int>(a.inv_freq.size(0)),
                     .interleaved = a.pairs == RopePairs::interleaved};
  rope_kernel<T><<<static_cast<unsigned>(a.x.size(0)), kThreads,
                   static_cast<std::size_t>(args.half) * sizeof(float2), stream>>>(args);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_rope(const Rope& a, cudaStream_t stream) {
  if (a.x.size(0) == 0) return cudaSuccess;
  return a.x.dtype == Dtype::f32 ? launch<float>(a, stream) : launch<__nv_bfloat16>(a, stream);
}

}  // namespace glm::kernels::cuda
