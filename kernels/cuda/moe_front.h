// What comes before moe_layer.cu, for few tokens: attention's last linear layer, the residual, and
// the router's logits as far as they can be known without the norm (kernels/cuda/moe_front.cu).
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/moe_workspace.h"
#include "kernels/ops/moe_layer.h"

namespace glm::kernels::cuda {

// The layer has a front.
bool supports_moe_front(const MoeLayer& a);

// Leaves front.norm.sum, and in space.scores each token's logits before they are divided by the
// root of its mean square. Of up to four tokens the projection may add up in another order than of
// more, so that a token's bits depend on how many there are; not so with 5,120 inputs, as
// GLM-4.7-Flash has.
cudaError_t launch_moe_front(const MoeLayer& a, const MoeWorkspace& space, cudaStream_t stream);

}  // namespace glm::kernels::cuda
