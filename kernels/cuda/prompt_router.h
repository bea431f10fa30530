// Logits of the router and the choice of experts (kernels/ops/router_topk.h) in one launch, for
// more tokens than "opening" takes: few blocks, which leave the others to what runs beside them.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops/moe_layer.h"

namespace glm::kernels::cuda {

// A router in bf16 for up to 64 experts in one group, and rows of whole 512 columns.
bool supports_prompt_router(const MoeLayer& a);

// Writes logits, ids and weights from x. All of x must be written by the kernel in front.
cudaError_t launch_prompt_router(const MoeLayer& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
