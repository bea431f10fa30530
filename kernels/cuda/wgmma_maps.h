// The tensor maps by which product_wgmma.cu copies.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "kernels/cuda/product.h"
#include "kernels/cuda/wgmma_plan.h"

namespace glm::kernels::cuda {

// Of gate and of up where gated, else of the same weight twice.
struct WgmmaMaps {
  CUtensorMap x;
  CUtensorMap fewest_x;  // in boxes of fewest_rows
  CUtensorMap weight;
  CUtensorMap up;
  CUtensorMap scales;  // likewise, where they are copied
  CUtensorMap up_scales;
};

// Whether the driver makes tensor maps at all.
bool has_tensor_maps();

cudaError_t make_wgmma_maps(const Product& a, const WgmmaPlan& plan, const WgmmaStage& stage,
                            WgmmaMaps& maps);

}  // namespace glm::kernels::cuda
