// Sizes of moe_opening.cu, and where things lie in its shared memory.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/router_rule.h"
#include "kernels/ops/moe_layer.h"

namespace glm::kernels::cuda {

constexpr int kOpeningTokensMax = 64;
constexpr int kOpeningDepth = 64;  // columns of a step
constexpr int kOpeningFirstRows =
    64;  // of the first weights, of a pair; or all experts of the router
constexpr int kOpeningSecondRows = 32;  // of the second ones
constexpr int kOpeningUnits = kOpeningFirstRows / 2;
constexpr int kOpeningStepsMax = 32;
constexpr unsigned kOpeningRowsBytes =
    kOpeningTokensMax * kOpeningDepth * 2;  // activations of a step
constexpr unsigned kOpeningFirstBytes = kOpeningFirstRows * kOpeningDepth * 2;
constexpr unsigned kOpeningSecondBytes = kOpeningSecondRows * kOpeningDepth * 2;
constexpr unsigned kOpeningAlignment = 1024;

enum OpeningBarrier : int {
  kFull,                                   // of each step of the first half
  kUsed = kFull + kOpeningStepsMax,        // likewise: its activations have been multiplied
  kSecond = kUsed + kOpeningStepsMax,      // of each step of the second half
  kReceived = kSecond + kOpeningStepsMax,  // sums of the other block, of either half
  kOpeningBarriers = kReceived + 2,
};

// Of the shared expert.
enum class OpeningCoding : std::uint8_t { bf16, fp4, fp8 };

// In bytes where nothing else is said.
struct OpeningPlan {
  OpeningCoding coding;
  int first_pairs;   // with gate and up
  int second_pairs;  // 0: the second half is done elsewhere
  int router_pair;
  int first_steps;  // of a block
  int second_steps;
  int slots;  // of the ring of activations
  unsigned slot;
  unsigned second_at;  // in shared memory, where the first weights come first
  unsigned slots_at;
  unsigned received_at;
  unsigned factors_at;
  unsigned barriers_at;
  unsigned total;
};

struct OpeningArgs {
  RowSquares squares;             // of a norm; null: x is as it is to be
  const __nv_bfloat16* weighted;  // what is multiplied instead of x, and from which x comes
  __nv_bfloat16* x;
  std::int64_t weighted_stride;
  std::int64_t x_stride;
  RouterRule rule;
  float* logits;
  std::int32_t* ids;
  float* weights;
  __nv_bfloat16* inner;
  __nv_bfloat16* out;
  MoeOpeningProgress* progress;
  int tokens;
  int hidden;
  int wide;
  device::Weight gate;  // where copies do not bring them
  device::Weight up;
  device::Weight down;
};

struct OpeningMaps {
  CUtensorMap x;
  CUtensorMap router;
  CUtensorMap gate;
  CUtensorMap up;
  CUtensorMap inner;
  CUtensorMap down;
};

// `norms`: of what a front leaves in front.projection.out, x comes here.
OpeningArgs opening_args(const MoeLayer& a, const MoeWorkspace& space, bool norms);
// None if formats, shapes or the device do not suit. `begins`: without the second half.
std::optional<OpeningPlan> opening_plan(const MoeLayer& a, const BulkLimits& limits, bool begins);
cudaError_t make_opening_maps(const MoeLayer& a, const OpeningPlan& plan, bool norms,
                              OpeningMaps& maps);

}  // namespace glm::kernels::cuda
