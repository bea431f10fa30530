// The operation moe_layer for one token as one kernel: kernels/cuda/moe_columns.cu says how,
// moe_columns_plan.cc where things lie. Of weights in int4 without zeros, in groups of thirty-two,
// beside a shared expert in bf16; or of those in nvfp4, the shared expert's as well.
#pragma once

#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_workspace.h"

namespace glm::kernels::cuda {

constexpr int kColumnWarps = 16;    // that multiply: each has at most one chunk of a row
constexpr int kColumnServants = 4;  // warps: two fetch, one watches, one chooses and then awaits
constexpr int kColumnExperts = 64;  // two of a lane
constexpr int kColumnChosen = 16;   // experts of a token
constexpr unsigned kColumnStagesMax = 32;
constexpr int kSumsPitch = kColumnWarps + 1;  // of a row's sums of all warps

// What a block waits for, each with a barrier: which experts are chosen; which turn it is; their
// weights; and what the shared expert has between its halves.
enum ColumnsKnown : unsigned { kChosen, kTurnKnown, kWeighed, kWideCame, kColumnsKnown };
constexpr std::size_t kColumnsRoutingBytes = 2048;

// Of four rows of a slab's weights, or of their scales.
struct ColumnsCopy {
  const std::uint8_t* from;  // of the first expert's first slab
  std::int64_t expert_bytes;
  std::int64_t slab_bytes;
  unsigned to;  // in a stage
  unsigned bytes;
};
constexpr int kColumnCopies = 2 * kQuads;  // of a slab

// In bytes where nothing else is said.
struct ColumnsPlan {
  BulkPlan inner;  // slabs of the routed experts' first half and of the second
  BulkPlan outer;
  ColumnsCopy inner_copies[kColumnCopies];
  ColumnsCopy outer_copies[kColumnCopies];
  ColumnsCopy wide_copies[kColumnCopies];    // of the shared expert where it is coded as the others
  ColumnsCopy shared_copies[kColumnCopies];  // and of its second half
  int wide_slabs;                            // of the shared expert's first half, of eight outputs
  int hidden_slabs;    // of either second half, of sixteen; not more than blocks
  int wide_slab_cost;  // in sixteenths of a slab of a routed expert's first half
  int stages;
  // 2^32 divided by these and rounded up: what multiplied_high() takes to divide.
  unsigned by_blocks;
  unsigned by_inner_slabs;
  unsigned stage;
  // In shared memory, where activations come first.
  unsigned stages_at;
  unsigned sums_at;     // of all warps, of first halves; then what is between the halves
  unsigned wide_at;     // what is between the halves of the shared expert
  unsigned outputs_at;  // sums of all warps, of second halves
  unsigned barriers_at;
  unsigned known_at;
  unsigned routing_at;
  unsigned total;
  MoeAwaited awaited;
};

std::optional<ColumnsPlan> columns_plan(const MoeArgs& a, const MoeWorkspace& space,
                                        const BulkLimits& limits);

// cudaErrorNotSupported where it does not suit: then nothing was launched.
cudaError_t launch_moe_columns(const MoeArgs& a, const MoeWorkspace& space,
                               const BulkLimits& limits, cudaStream_t stream);

}  // namespace glm::kernels::cuda
