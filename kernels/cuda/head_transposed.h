// head_linear where a head's part of the weight is read transposed: the sums run along its rows.
// Contracts: kernels/ops/head_linear.h, mla_queries.h.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "kernels/ops/head_linear.h"
#include "kernels/ops/mla_queries.h"

namespace glm::kernels::cuda {

// "naive" is for every shape and format; whatever else is forced, tensor cores where they fit.
cudaError_t launch_head_transposed(const HeadLinear& a, std::string_view variant,
                                   cudaStream_t stream);

// Both parts in one launch: bf16, where the multiplied part fits tensor cores.
bool supports_mla_queries(const MlaQueries& a, std::string_view variant);
cudaError_t launch_mla_queries(const MlaQueries& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
