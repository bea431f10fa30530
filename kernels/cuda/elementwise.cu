// add and silu_mul: one thread per element. Contracts: kernels/ops/add.h, kernels/ops/silu_mul.h.
#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct Pair {
  __nv_bfloat16* out;
  const __nv_bfloat16* x;  // add: x; silu_mul: gate
  const __nv_bfloat16* up;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t up_stride;
  std::int64_t dim;
};

__global__ void add_kernel(Pair a) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  if (c >= a.dim) return;
  const std::int64_t row = blockIdx.x;
  __nv_bfloat16* out = a.out + row * a.out_stride + c;
  device::store(out, device::load(out) + device::load(a.x + row * a.x_stride + c));
}

__global__ void silu_mul_kernel(Pair a) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  if (c >= a.dim) return;
  const std::int64_t row = blockIdx.x;
  const float gate = device::load(a.x + row * a.x_stride + c);
  const float up = device::load(a.up + row * a.up_stride + c);
  device::store(a.out + row * a.out_stride + c, gate / (1.0F + expf(-gate)) * up);
}

dim3 grid_of(std::int64_t rows, std::int64_t dim) {
  return {static_cast<unsigned>(rows), static_cast<unsigned>((dim + kThreads - 1) / kThreads)};
}

}  // namespace

cudaError_t launch_add(const Add& a, cudaStream_t stream) {
  GLM_CHECK(a.x.dtype == Dtype::bf16);
  if (a.x.size(0) == 0 || a.x.size(1) == 0) return cudaSuccess;
  add_kernel<<<grid_of(a.x.size(0), a.x.size(1)), kThreads, 0, stream>>>(
      {.out = static_cast<__nv_bfloat16*>(a.out.data),
       .x = static_cast<const __nv_bfloat16*>(a.x.data),
       .up = nullptr,
       .out_stride = a.out.stride(0),
       .x_stride = a.x.stride(0),
       .up_stride = 0,
       .dim = a.x.size(1)});
  return cudaGetLastError();
}

cudaError_t launch_silu_mul(const SiluMul& a, cudaStream_t stream) {
  GLM_CHECK(a.gate.dtype == Dtype::bf16);
  if (a.gate.size(0) == 0 || a.gate.size(1) == 0) return cudaSuccess;
  silu_mul_kernel<<<grid_of(a.gate.size(0), a.gate.size(1)), kThreads, 0, stream>>>(
      {.out = static_cast<__nv_bfloat16*>(a.out.data),
       .x = static_cast<const __nv_bfloat16*>(a.gate.data),
       .up = static_cast<const __nv_bfloat16*>(a.up.data),
       .out_stride = a.out.stride(0),
       .x_stride = a.gate.stride(0),
       .up_stride = a.up.stride(0),
       .dim = a.gate.size(1)});
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
