// Small copies between the device's memory and pinned memory of the host, by a kernel: between two
// steps a copying engine's start would be seen.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace glm::kernels::cuda {

// Whole words of both, in one piece that is not large, of memory that a kernel can see.
bool suits_host_copy(const void* to, const void* from, std::size_t size_bytes);
cudaError_t launch_host_copy(void* to, const void* from, std::size_t size_bytes,
                             cudaStream_t stream);

}  // namespace glm::kernels::cuda
