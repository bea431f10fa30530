// A token's absorbed latent attention in one launch (sm_90 and later). Contract:
// kernels/ops/mla_decode.h.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention.h"
#include "kernels/ops/mla_decode.h"

namespace glm::kernels::cuda {

// GLM-4.7-Flash's dimensions, weights in four bits, fp8 or bf16, plain pages; and few enough tokens
// and positions for it to be faster than the operations one by one.
bool supports_mla_decode(const MlaDecode& a, const AttentionWorkspace& workspace);
cudaError_t launch_mla_decode(const MlaDecode& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
