// Norm, rope and the way into the cache of grouped-query attention, in one launch. Contract:
// kernels/ops/gqa_rows.h.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops/gqa_rows.h"

namespace glm::kernels::cuda {

// Heads of 128 columns, everything in octets.
bool supports_gqa_rows(const GqaRows& a);
cudaError_t launch_gqa_rows(const GqaRows& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
