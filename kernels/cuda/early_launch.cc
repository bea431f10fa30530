#include "kernels/cuda/early_launch.h"

namespace glm::kernels::cuda {

bool has_bulk_copies() {
  int device = 0;
  int major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major >= 9;
}

bool may_start_early(cudaStream_t stream) {
  int priority = 0;  // less is more
  return cudaStreamGetPriority(stream, &priority) == cudaSuccess && priority < 0 &&
         has_bulk_copies();
}

}  // namespace glm::kernels::cuda
