// Contract: kernels/ops/timestamp.h.
#include "kernels/cuda/launch.h"

namespace glm::kernels::cuda {
namespace {

__global__ void timestamp_kernel(std::uint64_t* out) {
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(*out));
}

}  // namespace

cudaError_t launch_timestamp(const Timestamp& a, cudaStream_t stream) {
  timestamp_kernel<<<1, 1, 0, stream>>>(a.out);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
