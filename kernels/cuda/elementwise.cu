// add: one thread per element. Contract: kernels/ops/add.h.
#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

struct Pair {
  __nv_bfloat16* out;
  const __nv_bfloat16* x;
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t dim;
};

__global__ void add_kernel(Pair a) {
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  if (c >= a.dim) return;
  const std::int64_t row = blockIdx.x;
  __nv_bfloat16* out = a.out + row * a.out_stride + c;
  device::store(out, device::load(out) + device::load(a.x + row * a.x_stride + c));
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
       .out_stride = a.out.stride(0),
       .x_stride = a.x.stride(0),
       .dim = a.x.size(1)});
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
