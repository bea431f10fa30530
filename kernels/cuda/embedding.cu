// One block per token. Contract: kernels/ops/embedding.h; bf16 tables so far.
#include "kernels/cuda/launch.h"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::cuda {
namespace {

struct Rows {
  __nv_bfloat16* out;
  const std::int32_t* ids;
  const __nv_bfloat16* table;
  std::int64_t out_stride;
  std::int64_t dim;
};

__global__ void embedding_kernel(Rows a) {
  const std::int64_t token = blockIdx.x;
  const __nv_bfloat16* row = a.table + a.ids[token] * a.dim;
  for (std::int64_t c = threadIdx.x; c < a.dim; c += blockDim.x) {
    a.out[token * a.out_stride + c] = row[c];
  }
}

}  // namespace

cudaError_t launch_embedding(const Embedding& a, cudaStream_t stream) {
  if (a.ids.size(0) == 0) return cudaSuccess;
  constexpr unsigned kThreads = 256;
  embedding_kernel<<<static_cast<unsigned>(a.ids.size(0)), kThreads, 0, stream>>>(
      {.out = static_cast<__nv_bfloat16*>(a.out.data),
       .ids = a.ids.as<std::int32_t>(),
       .table = static_cast<const __nv_bfloat16*>(a.table.data),
       .out_stride = a.out.stride(0),
       .dim = a.table.layout.cols});
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
