// What comes before the routed experts of a layer, for up to some tens of tokens, as one kernel
// (sm_90a): router, choice, and the expert of all tokens from end to end.
// kernels/cuda/moe_opening.cu says how.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/moe_workspace.h"
#include "kernels/ops/moe_layer.h"

namespace glm::kernels::cuda {

// Formats, shapes and the device suit, and tokens are not many.
bool supports_moe_opening(const MoeLayer& a);

// Writes a.logits, a.ids, a.weights, a.shared.inner and a.shared.out, of an x that is there.
// `norms`: front.projection.out is the sum times the norm's weight, and the norm is to be ended, by
// squares of the workspace. `begins`: a.shared.out is not written, as that is left to the routed
// experts' launch.
cudaError_t launch_moe_opening(const MoeLayer& a, const MoeWorkspace& space, bool norms,
                               bool begins, cudaStream_t stream);

}  // namespace glm::kernels::cuda
