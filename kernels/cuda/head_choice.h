// The operation sample with the head in front of it, where no row looks at its logits: the product
// chooses from them while it has them in registers, and they are never stored (sm_90a).
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/product.h"
#include "kernels/cuda/sample_workspace.h"
#include "kernels/ops/sample.h"

namespace glm::kernels::cuda {

// A head in bf16, without bias, that launch_flow() would take with its columns in one part, up to
// 32 rows, and nobody who filters or looks. `head` is a.head as a product.
bool supports_head_choice(const Product& head, const Sample& a);
cudaError_t launch_head_choice(const Product& head, const Sample& a, const SampleWorkspace& space,
                               cudaStream_t stream);

}  // namespace glm::kernels::cuda
