// Memory of the host that the device reads and writes by itself.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/buffer.h"
#include "kernels/cuda/cuda_error.h"

namespace glm::kernels::cuda {

// Errc::exhausted.
inline Result<Buffer> allocate_pinned(std::uint64_t size_bytes) {
  void* memory = nullptr;
  if (const cudaError_t code = cudaMallocHost(&memory, size_bytes == 0 ? 1 : size_bytes);
      code != cudaSuccess) {
    (void)cudaGetLastError();
    return cuda_error(fmt::format("allocate {} bytes of pinned memory", size_bytes), code);
  }
  return Buffer(memory, size_bytes, [](void* pinned) { (void)cudaFreeHost(pinned); });
}

}  // namespace glm::kernels::cuda
