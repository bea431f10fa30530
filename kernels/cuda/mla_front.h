// What comes before the scores of absorbed latent attention, for some tens of tokens, as one kernel
// (sm_90a): mla_latents and mla_queries. kernels/cuda/mla_front.cu says how.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops/mla_decode.h"

namespace glm::kernels::cuda {

// GLM-4.7-Flash's dimensions, weights in int4 with groups of 32, scales in bf16 and no zeros, or in
// nvfp4, plain pages, 9 to 64 tokens.
bool supports_mla_front(const MlaDecode& a);

// Writes a.absorbed and the cached rows of the tokens.
cudaError_t launch_mla_front(const MlaDecode& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
