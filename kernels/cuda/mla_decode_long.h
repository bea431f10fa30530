// The absorbed latent attention of one token with many positions in one launch (sm_90a). Contract:
// kernels/ops/mla_decode.h.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention.h"
#include "kernels/ops/mla_decode.h"

namespace glm::kernels::cuda {

// What mla_decode_batch.h says, of one token; memory through which blocks meet is the same.
bool supports_mla_decode_long(const MlaDecode& a, const AttentionWorkspace& workspace);
cudaError_t launch_mla_decode_long(const MlaDecode& a, const AttentionWorkspace& workspace,
                                   cudaStream_t stream);

}  // namespace glm::kernels::cuda
