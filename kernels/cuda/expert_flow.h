// Both halves of routed experts in bf16 for up to 64 tokens, as one kernel (sm_90a):
// expert_flow.cu says how.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>

#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

constexpr int kExpertUnitRows = 32;  // of weights; in the first half sixteen of gate and of up
constexpr int kExpertUnitsMax = 8;   // of a tile
constexpr unsigned kExpertUnitBytes = kExpertUnitRows * 128;  // in a stage
constexpr int kExpertStagesMax = 16;
constexpr int kExpertBoxRows = 8;  // of activations
constexpr unsigned kExpertRowBoxBytes = kExpertBoxRows * 128;

struct ExpertHalf {
  CUtensorMap weights;  // {columns, 8, gate and up, eights of rows, experts}
  CUtensorMap rows;
  int steps;  // of a tile
  int units;  // of an expert
};

struct ExpertFlow {
  ExpertHalf half[2];
  const std::int32_t* ids;  // [tokens, chosen]
  const float* factors;     // likewise
  const __nv_bfloat16* x;   // [tokens, hidden]
  __nv_bfloat16* gathered;  // [pairs, hidden] in the order of experts, maybe in the memory of out
  __nv_bfloat16* inner;     // [pairs, wide] in the order of experts
  float* out;               // [pairs, hidden] in the order of ids
  std::uint32_t* meeting;   // device/blocks_meet.cuh
  std::int64_t x_stride;
  std::int32_t tokens;
  std::int32_t chosen;
  std::int32_t experts;
  std::int32_t wide;
  std::int32_t hidden;
  bool up_first;         // its address is below the gate's
  unsigned barriers_at;  // in shared memory, where stages come first
  unsigned masks_at;
  unsigned firsts_at;
  unsigned entries_at;
  unsigned pairs_at;
  unsigned total;
};

// Two products as moe_products.h makes them.
bool supports_expert_flow(const Product& inner, const Product& outer);
cudaError_t launch_expert_flow(const Product& inner, const Product& outer,
                               const MoeWorkspace& space, cudaStream_t stream);

// Without memory for them, rows are not gathered.
cudaError_t make_expert_flow(const Product& inner, const Product& outer, void* gathered,
                             ExpertFlow& flow);

}  // namespace glm::kernels::cuda
