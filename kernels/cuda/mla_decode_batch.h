// The absorbed latent attention of a few tokens in one launch (sm_90a). Contract:
// kernels/ops/mla_decode.h.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/ops/mla_decode.h"

namespace glm::kernels::cuda {

// Memory through which blocks meet, set up once; none where the device or this program has not
// what the kernel needs.
std::uint64_t mla_meeting_bytes(const AttentionWorkspace& workspace);
cudaError_t set_up_mla_meeting(void* meeting, cudaStream_t stream);

// GLM-4.7-Flash's dimensions, weights in int4, e2m1, e4m3 or bf16, plain pages, up to eight
// tokens.
bool supports_mla_decode_batch(const MlaDecode& a, const AttentionWorkspace& workspace);
cudaError_t launch_mla_decode_batch(const MlaDecode& a, const AttentionWorkspace& workspace,
                                    cudaStream_t stream);

}  // namespace glm::kernels::cuda
