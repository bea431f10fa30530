#include "kernels/cuda/early_launch.h"

namespace glm::kernels::cuda {

bool has_bulk_copies() {
  int device = 0;
  int major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major >= 9;
}

}  // namespace glm::kernels::cuda
