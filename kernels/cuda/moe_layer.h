// The operation moe_layer for few tokens as one kernel (sm_90 and later): kernels/cuda/moe_layer.cu
// says how, moe_layer_plan.cc where things lie.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/router_rule.h"
#include "kernels/ops/moe_layer.h"

namespace glm::kernels::cuda {

constexpr int kMoeTokensMax = kTileRows;
static_assert(kMoeTokensMax <= kMoeScoredTokens);
constexpr int kMoeTeams = 4;
constexpr int kMoeWarps = kMoeTeams * kTeamWarps;  // that multiply
constexpr int kMoeServants = 4;      // warps: one that fetches, and some that choose experts
constexpr unsigned kQuadShift = 32;  // bytes, of every other quad of plain rows
constexpr unsigned kRowShift = 32;   // bytes that a row of activations is longer than its numbers

// In bytes where nothing else is said.
struct MoePlan {
  BulkPlan inner;    // slabs of the routed experts' first half and of the second; nothing but slabs
  BulkPlan outer;    //   is taken from them
  int wide_slabs;    // of the shared expert's first half, of eight outputs
  int hidden_slabs;  // of either second half, of sixteen
  int wide_slab_cost;  // in sixteenths of a slab of a routed expert's first half
  int stages;          // a power of two and a multiple of the teams (bulk_plan.h)
  int stages_shift;    // which
  // 2^32 divided by these and rounded up: what multiplied_high() takes to divide.
  unsigned by_blocks;
  unsigned by_inner_slabs;
  unsigned by_octets;  // of a row of activations
  int octets;          // of a row of activations
  int extra_rows;      // between the halves: so many have room where activations were
  unsigned x_pitch;    // from row to row of activations
  unsigned stage;
  unsigned row_at;     // in a stage, behind a slab of a second half
  unsigned stages_at;  // in shared memory, where activations come first
  unsigned partial_at;
  unsigned shared_at;  // sums of the shared expert
  unsigned totals_at;
  unsigned barriers_at;
  unsigned team_barriers_at;
  unsigned known_at;        // barriers: MoeKnown
  unsigned through_at;      // barriers: MoeTask
  unsigned shared_full_at;  // barriers: quads of the shared expert's second half
  unsigned phases_at;       // uppermost bits of MoeProgress
  unsigned scales_at;
  unsigned half_units_at;  // of tokens, and then the largest weight of the norm (moe_half_rows.cuh)
  unsigned extras_at;
  unsigned scratch_at;
  unsigned scratch;  // of one choice
  unsigned weights_at;
  unsigned ids_at;
  unsigned order_at;
  unsigned bias_at;
  unsigned masks_at;
  unsigned slots_at;
  unsigned active_at;
  unsigned total;
};

constexpr int kMoeLots = kMoeTasks - kMoeLot;

// What a block waits for, each with a barrier: that all tokens have chosen, that their choice is
// listed, and that all blocks are through with a task.
enum MoeKnown : unsigned {
  kAllChose,
  kChoiceKnown,
  kTaskKnown,
  kMoeKnown = kTaskKnown + kMoeTasks
};

struct MoeArgs {
  Product inner;  // the routed experts, as moe_mlp has them; of sums that a front leaves
  Product outer;
  const __nv_bfloat16* norm;  // of a front; null: the router's logits are there, x is normed
  MoeScore* scores;           // with a norm
  float eps;
  device::Weight shared_gate;
  device::Weight shared_up;
  device::Weight shared_down;
  bool shared_coded;  // in the layout of the routed experts, as large as one of them; or else bf16
  RouterRule rule;
  __nv_bfloat16* out;
  __nv_bfloat16* wide;  // what the shared expert has between its halves
  float* logits;
  std::int32_t* ids;
  float* weights;
  MoeProgress* progress;
  std::int64_t out_stride;
  std::int32_t tokens;
  std::int32_t wide_inputs;  // of the shared expert's second half
};

// None if formats, shapes or the device do not suit, or tokens are many.
std::optional<MoeArgs> moe_args(const MoeLayer& a, const MoeWorkspace& space);
std::optional<MoePlan> moe_plan(const MoeArgs& a, const BulkLimits& limits);

// cudaErrorNotSupported where there are none: then nothing was launched.
cudaError_t launch_moe_layer(const MoeLayer& a, const MoeWorkspace& space, const SplitSums& split,
                             cudaStream_t stream);

}  // namespace glm::kernels::cuda
