// A norm and the product of the variant "held" (product_held.cu) that reads it, in one launch.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

// Of Product::x; everything in octets. As kernels/ops/rms_norm.h has it.
struct HeldNorm {
  const __nv_bfloat16* weight;
  const __nv_bfloat16* residual;  // may be null
  __nv_bfloat16* sum;             // likewise
  std::int64_t residual_stride;
  std::int64_t sum_stride;
  float eps;
};

bool supports_normed_held(const Product& a);
cudaError_t launch_normed_held(const Product& a, const HeldNorm& norm, cudaStream_t stream);

}  // namespace glm::kernels::cuda
