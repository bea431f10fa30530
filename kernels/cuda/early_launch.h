// Launches of kernels that may start before the kernel in front of them has ended; they call
// device::wait_for_earlier_kernels() before they touch what it writes.
#pragma once

#include <cuda_runtime.h>

namespace glm::kernels::cuda {

// sm_90 and later: bulk copies, barriers for them, early starts. Of the current device.
bool has_bulk_copies();

struct EarlyLaunch {
  dim3 grid;
  unsigned threads = 0;
  std::size_t shared_bytes = 0;
  unsigned cluster = 1;  // blocks next to each other in x that form a cluster (sm_90 and later)
};

template <typename... Args>
cudaError_t launch_early(const EarlyLaunch& how, void (*kernel)(Args...), cudaStream_t stream,
                         const Args&... args) {
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim = {how.cluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = how.grid;
  config.blockDim = how.threads;
  config.dynamicSmemBytes = how.shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = !has_bulk_copies() ? 0 : how.cluster == 1 ? 1 : 2;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

// Whether all blocks of a launch in clusters can be there at the same time, when nothing else is.
template <typename... Args>
bool fits_at_once(const EarlyLaunch& how, void (*kernel)(Args...)) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {how.cluster, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = how.grid;
  config.blockDim = how.threads;
  config.dynamicSmemBytes = how.shared_bytes;
  config.attrs = &attribute;
  config.numAttrs = 1;
  int clusters = 0;
  if (cudaOccupancyMaxActiveClusters(&clusters, kernel, &config) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return static_cast<unsigned>(clusters) * how.cluster >= how.grid.x * how.grid.y * how.grid.z;
}

}  // namespace glm::kernels::cuda
