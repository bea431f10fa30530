// Sizes of product_groups.cu, and where things lie in its shared memory.
//
// A slab is thirty-two rows of one expert's weights; gated, sixteen of gate and sixteen of up. It
// comes in parts of 256 bytes of a row, 512 columns of four bits or 256 of eight, each to a stage
// of shared memory: for each half of the rows first the columns, 128 bytes of sixteen rows after
// the other, then, behind those of both, the scales of four bits. A team of four warps has a ring
// of stages, and each warp a chunk of every part, a quarter of its columns; a fifth one adds up.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/product.h"
#include "kernels/ops/moe_layer.h"

namespace glm::kernels::cuda {

constexpr int kGroupsTeams = 4;
constexpr int kGroupsHalfRows = 16;
constexpr int kGroupsSlabRows = 2 * kGroupsHalfRows;
constexpr int kGroupsPart = 256;       // bytes of a row of weights
constexpr int kGroupsPartScales = 32;  // and of its scales
constexpr int kGroupsBox = 128;        // bytes beside each other in a stage
constexpr unsigned kGroupsHalfData = kGroupsHalfRows * kGroupsPart;
constexpr unsigned kGroupsHalfScales = kGroupsHalfRows * kGroupsPartScales;
constexpr unsigned kGroupsScalesAt = 2 * kGroupsHalfData;  // in a stage
constexpr unsigned kGroupsStage = kGroupsScalesAt + 2 * kGroupsHalfScales;
// Two stages of every team are enough for memory; more in flight only let rows wait longer. With
// one it would wait for the workers: where two find no room, others take the product.
constexpr int kGroupsDepth = 2;
// Entries come in two lots: the first halves of both, then the second ones. So a block can go on
// with one lot while others end what it needs of the other. Second halves are shorter: for both
// times to be long enough, the first lot is the larger one where entries are many.
constexpr int kLots = 2;
constexpr int kFirstLot = 5;          // of eight
constexpr int kTurnsMax = 2 * kLots;  // of a block: lot by lot, half by half
constexpr int kRowBuffersMax = 3;
constexpr unsigned kRowBufferBytes = 64;  // beside activations
// A team's sums over columns, while the next slab is under way.
constexpr int kBufferedSums = kTeamWarps * 2 * 32;  // of four

// By which the parts come: the columns of both halves of a slab, then, of four bits, their scales.
struct GroupsMaps {
  CUtensorMap of[4];
};

// A product as blocks get it.
struct GroupsProduct {
  GroupsMaps maps;
  Product a;
  int chunks;  // of a row
  int parts;   // of a slab
  int slabs;   // of an expert
};

// The second half of the expert of all tokens, which workers end before their first slab.
constexpr int kSharedRows = 16;   // of weights, of a block at a time
constexpr int kSharedPiece = 32;  // columns that a worker has beside each other
constexpr int kSharedPieces = 3;  // of a worker, at most
constexpr int kSharedInputsMax = kSharedPieces * kSharedPiece * kGroupsTeams * kTeamWarps;
struct GroupsShared {
  device::Weight down;         // as SharedOctet of the other experts' codec reads it
  const __nv_bfloat16* inner;  // [tokens, inputs]
  __nv_bfloat16* out;          // [tokens, outputs]
  int tokens;                  // 0: it is ended elsewhere
  int outputs;
  int inputs;
};

// In bytes, but for the counts at the end.
struct GroupsPlan {
  unsigned activations_at;  // in shared memory, where stages come first
  unsigned units_at;
  unsigned rows_bytes;  // from one buffer of both to the next
  unsigned sums_at;
  unsigned barriers_at;  // of stages
  unsigned sum_barriers_at;
  unsigned once_at;  // what is used once
  unsigned shares_at;
  unsigned rows_at;
  unsigned entries_at;
  unsigned total;
  int rows;
  int experts;
  int buffers;  // of rows
};

// For rows of so many inputs; with as many buffers as there is room for, maybe none.
GroupsPlan groups_plan(const Product& a, std::int64_t inputs, const BulkLimits& limits);

cudaError_t make_groups_product(const Product& a, GroupsProduct& p);

// Both halves of a mixture of experts in one launch; `meetings` are two as device/blocks_meet.cuh
// wants them.
bool supports_halves(const Product& inner, const Product& outer);
cudaError_t launch_halves(const Product& inner, const Product& outer, const GroupsShared& shared,
                          std::uint32_t* meetings, cudaStream_t stream);

// Whether that launch shall end such an expert of all tokens, of a layer that
// supports_moe_opening() has said yes to, when a.inner is there. It adds up in another order than
// the opening, so the bits of a token's a.out are others where this is true than where, for more
// tokens, it is not.
bool ends_shared(const Product& inner, const MoeLayer::SharedExpert& a);
GroupsShared groups_shared(const MoeLayer::SharedExpert& a);

}  // namespace glm::kernels::cuda
