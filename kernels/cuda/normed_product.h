// A norm and the product that reads it in one launch, for a few rows, and beside it what MLA keeps
// of its new tokens. Contracts: kernels/ops/normed_linear.h, mla_latents.h.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "kernels/ops/mla_latents.h"

namespace glm::kernels::cuda {

// In the variant "stream", where every block norms all rows of activations; from three on two
// launches are faster.
constexpr int kNormedRowsMax = 2;

// For rows that fit one tile of the variant "stream" or "held", where that is the one linear()
// would take.
bool supports_normed_linear(const NormedLinear& a, std::string_view variant);
cudaError_t launch_normed_linear(const NormedLinear& a, std::string_view variant,
                                 cudaStream_t stream);

// Plain pages, and columns in whole octets.
bool supports_mla_latents(const MlaLatents& a);
// All of it in one launch, or all but the linear layer.
bool supports_mla_latents_whole(const MlaLatents& a, std::string_view variant);
cudaError_t launch_mla_latents(const MlaLatents& a, cudaStream_t stream);
cudaError_t launch_norm_latents(const MlaLatents& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
