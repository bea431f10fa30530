// The last of moe_mlp (kernels/ops/moe_mlp.h): each token adds up what its experts gave.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/moe_workspace.h"
#include "kernels/ops/moe_mlp.h"
#include "kernels/ops/rms_norm.h"

namespace glm::kernels::cuda {

struct MoeSum {
  __nv_bfloat16* out;
  const void* pairs;     // f32, or bf16 that still want their weights
  const float* weights;  // null: they have had them
  const std::int32_t* ids;
  const __nv_bfloat16* shared;  // may be null
  std::int64_t out_stride;
  std::int64_t shared_stride;
  std::int64_t hidden;
  std::int64_t tokens;
  std::int32_t chosen;
  bool in_octets;  // of out and shared, sixteen bytes at a time
};

// `weighted`: the pairs are f32 and have had their weights.
MoeSum moe_sum(const MoeMlp& a, const MoeWorkspace& space, bool weighted);
cudaError_t launch_moe_sum(const MoeSum& a, cudaStream_t stream);

// The same, what is added to it, and the first half of a norm of that: norm.x is a.out, norm.sum is
// written, and norm.out becomes the sum times the norm's weight; `squares` of its rows are as
// RowSquares (product.h) wants them.
constexpr int kMoeSumColumns = 512;  // of a part of the squares
bool supports_moe_sum_and_norm(const MoeSum& a, const RmsNorm& norm);
cudaError_t launch_moe_sum_and_norm(const MoeSum& a, const RmsNorm& norm, float* squares,
                                    cudaStream_t stream);

// Of pairs without their weights: the same, what is added to it, and all of the norm.
bool supports_moe_sum_and_whole_norm(const MoeSum& a, const RmsNorm& norm);
cudaError_t launch_moe_sum_and_whole_norm(const MoeSum& a, const RmsNorm& norm,
                                          cudaStream_t stream);

}  // namespace glm::kernels::cuda
