// Contract: kernels/ops/timestamp.h.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace {

__global__ void timestamp_kernel(std::uint64_t* out) {
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(*out));
}

}  // namespace

cudaError_t launch_timestamp(const Timestamp& a, cudaStream_t stream) {
  return launch_early({.grid = dim3(1), .threads = 1}, &timestamp_kernel, stream, a.out);
}

}  // namespace glm::kernels::cuda
