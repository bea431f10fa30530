// Host entries of the CUDA kernels: grid and launch, nothing else. Arguments have been checked and
// lie in device memory. What they return is the error of the launch; later ones come with the sync.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/ops/embedding.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/rms_norm.h"

namespace glm::kernels::cuda {

cudaError_t launch_embedding(const Embedding& a, cudaStream_t stream);
cudaError_t launch_linear(const Linear& a, cudaStream_t stream);
cudaError_t launch_rms_norm(const RmsNorm& a, cudaStream_t stream);

// numbers[i] = i * 2654435761 + salt, modulo 2^32.
struct SelfTestNumbers {
  std::uint32_t* numbers = nullptr;
  std::uint32_t count = 0;
  std::uint32_t salt = 0;
};
cudaError_t launch_self_test(const SelfTestNumbers& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
