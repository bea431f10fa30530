// A CUDA error as an Error: "allocate 64 bytes on the device: out of memory
// (cudaErrorMemoryAllocation)".
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "base/result.h"

namespace glm::kernels::cuda {

// Errc::exhausted for memory, else Errc::device.
Error cuda_error(std::string_view attempt, cudaError_t code);

}  // namespace glm::kernels::cuda
