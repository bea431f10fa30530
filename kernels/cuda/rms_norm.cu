// One block per row; each thread strides over the columns. Contract: kernels/ops/rms_norm.h.
#include "kernels/cuda/launch.h"
#include "kernels/device/numbers.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

template <typename T>
struct Rows {
  T* out;
  const T* x;
  const T* weight;
  T* residual;  // may be null
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
  std::int64_t dim;
  float eps;
};

template <typename T>
__global__ void rms_norm_kernel(Rows<T> a) {
  const std::int64_t row = blockIdx.x;
  const T* x = a.x + row * a.x_stride;
  T* residual = a.residual == nullptr ? nullptr : a.residual + row * a.residual_stride;
  T* out = a.out + row * a.out_stride;

  float squares = 0;
  for (std::int64_t c = threadIdx.x; c < a.dim; c += blockDim.x) {
    float value = device::load(x + c);
    if (residual != nullptr) {
      value = device::rounded<T>(value + device::load(residual + c));
      device::store(residual + c, value);
    }
    squares += value * value;
  }
  const float mean = device::block_sum(squares) / static_cast<float>(a.dim);
  const float scale = 1.0F / sqrtf(mean + a.eps);
  // A thread reads back only what it wrote itself, and x before out takes its place.
  const T* source = residual == nullptr ? x : residual;
  for (std::int64_t c = threadIdx.x; c < a.dim; c += blockDim.x) {
    const float normed = device::rounded<T>(device::load(source + c) * scale);
    device::store(out + c, device::load(a.weight + c) * normed);
  }
}

template <typename T>
cudaError_t launch(const RmsNorm& a, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  const Rows<T> rows{.out = static_cast<T*>(a.out.data),
                     .x = static_cast<const T*>(a.x.data),
                     .weight = static_cast<const T*>(a.weight.data),
                     .residual = static_cast<T*>(a.residual.data),
                     .out_stride = a.out.stride(0),
                     .x_stride = a.x.stride(0),
                     .residual_stride = a.residual.stride(0),
                     .dim = a.x.size(1),
                     .eps = a.eps};
  rms_norm_kernel<T><<<static_cast<unsigned>(a.x.size(0)), kThreads, 0, stream>>>(rows);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_rms_norm(const RmsNorm& a, cudaStream_t stream) {
  if (a.x.size(0) == 0) return cudaSuccess;
  return a.x.dtype == Dtype::f32 ? launch<float>(a, stream) : launch<__nv_bfloat16>(a, stream);
}

}  // namespace glm::kernels::cuda
