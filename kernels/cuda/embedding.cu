// One block per token. Contract: kernels/ops/embedding.h.
#include "base/check.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {
namespace {

struct Rows {
  __nv_bfloat16* out;
  const std::int32_t* ids;
  device::Weight table;
  std::int64_t out_stride;
};

__global__ void embedding_kernel(Rows a) {
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const std::int64_t token = blockIdx.x;
  const std::int64_t row = a.ids[token];
  for (std::uint32_t c = threadIdx.x; c < a.table.cols; c += blockDim.x) {
    device::store(a.out + token * a.out_stride + device::column_of(a.table, c),
                  device::stored_weight(a.table, row, c));
  }
}

}  // namespace

cudaError_t launch_embedding(const Embedding& a, cudaStream_t stream) {
  GLM_CHECK(a.out.dtype == Dtype::bf16);
  if (a.ids.size(0) == 0) return cudaSuccess;
  constexpr unsigned kThreads = 256;
  return launch_early({.grid = static_cast<unsigned>(a.ids.size(0)), .threads = kThreads},
                      &embedding_kernel, stream,
                      Rows{.out = static_cast<__nv_bfloat16*>(a.out.data),
                           .ids = a.ids.as<std::int32_t>(),
                           .table = device_weight(a.table),
                           .out_stride = a.out.stride(0)});
}

}  // namespace glm::kernels::cuda
