#include "kernels/cuda/groups_plan.h"

#include <algorithm>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

constexpr std::int64_t kRowsMax = 8192;
constexpr std::int64_t kEightBitsInputsMax = 8192;  // a lane has the scales of a part of a row

bool has_eight_bits(const device::Weight& w) {
  return w.coding == device::Coding::e4m3;
}

// Columns of so many bytes.
std::int64_t columns_of(const device::Weight& w, std::int64_t bytes) {
  return has_eight_bits(w) ? bytes : 2 * bytes;
}

cudaError_t encode(const void* data, const cuuint64_t (&sizes)[4], const cuuint64_t (&strides)[3],
                   const cuuint32_t (&box)[4], CUtensorMapSwizzle swizzle, CUtensorMap& map) {
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUresult code =
      find_encode_tensor_map()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 4, const_cast<void*>(data),
                               sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                               CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return code == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t map_data(const Product& a, const device::Weights& w, CUtensorMap& map) {
  const auto row = static_cast<cuuint64_t>(w.first.row_bytes);
  const auto rows = static_cast<cuuint64_t>(a.outputs);
  const auto experts = static_cast<cuuint64_t>(a.groups);
  const cuuint64_t expert = experts > 1 ? static_cast<cuuint64_t>(w.data_bytes) : rows * row;
  return encode(
      w.first.data, {kGroupsBox, rows, row / kGroupsBox, experts}, {row, kGroupsBox, expert},
      {kGroupsBox, kGroupsHalfRows, kGroupsPart / kGroupsBox, 1}, CU_TENSOR_MAP_SWIZZLE_128B, map);
}

// Rows of scales have as many bytes in both codings.
std::uint32_t scale_bytes(const device::Weight& w) {
  return w.coding == device::Coding::int4 ? 2 : 1;
}

cudaError_t map_scales(const Product& a, const device::Weights& w, CUtensorMap& map) {
  const cuuint64_t row = w.first.groups * scale_bytes(w.first);
  const auto rows = static_cast<cuuint64_t>(a.outputs);
  const auto experts = static_cast<cuuint64_t>(a.groups);
  const cuuint64_t expert = experts > 1 ? static_cast<cuuint64_t>(w.scales_bytes) : rows * row;
  return encode(w.first.scales, {row, rows, 1, experts}, {row, rows * row, expert},
                {kGroupsPartScales, kGroupsHalfRows, 1, 1}, CU_TENSOR_MAP_SWIZZLE_32B, map);
}

bool fits_maps(const device::Weights& w) {
  return w.first.group == 16 * scale_bytes(w.first) && w.first.zeros == nullptr &&
         aligned(w.first.scales) && w.scales_bytes % 16 == 0;
}

// Chunks and halves of slabs have one scale, or each row has its own.
bool suits_scales(const device::Weight& w) {
  return w.groups == 1 ||
         (w.group % (kGroupsPart / kTeamWarps) == 0 && w.row_block % kGroupsHalfRows == 0 &&
          w.row_offset % kGroupsHalfRows == 0 && w.cols <= kEightBitsInputsMax);
}

bool suits(const device::Weights& w) {
  return w.first.order == nullptr && aligned(w.first.data) && w.data_bytes % 16 == 0 &&
         (has_eight_bits(w.first) ? suits_scales(w.first) : fits_maps(w));
}

// Both have scales of chunks, or both of rows.
bool are_alike(const device::Weight& gate, const device::Weight& up) {
  return !has_eight_bits(gate) || (gate.groups == 1) == (up.groups == 1);
}

}  // namespace

GroupsPlan groups_plan(const Product& a, std::int64_t inputs, const BulkLimits& limits) {
  GroupsPlan plan = {};
  const auto columns = static_cast<std::size_t>(inputs);
  const std::size_t activations = kTileRows * columns * 2;
  constexpr std::size_t kUnits = kTileRows * sizeof(float);
  constexpr std::size_t kSums = std::size_t{kGroupsTeams} * kBufferedSums * 4 * sizeof(float);
  constexpr std::size_t kBarriers =
      std::size_t{2} * kGroupsDepth * kGroupsTeams * sizeof(std::uint64_t);
  constexpr std::size_t kSumBarriers = std::size_t{2} * kGroupsTeams * sizeof(std::uint64_t);
  constexpr std::size_t kOnce = 3 * sizeof(std::uint64_t);
  constexpr std::size_t kShares = std::size_t{kTurnsMax} * 4 * sizeof(int);
  constexpr std::size_t kRows = std::size_t{kRowBuffersMax} * kRowBufferBytes;
  // Of each expert where its entries and rows end, of each row its expert, and rows in order.
  const std::size_t entries = static_cast<std::size_t>(a.groups) * 2 * sizeof(int) +
                              static_cast<std::size_t>(a.rows) * 2 * sizeof(std::uint16_t);
  constexpr std::size_t kStages = std::size_t{kGroupsDepth} * kGroupsTeams * kGroupsStage;
  // So that the barriers of a ring begin at a multiple of theirs (GroupsRing).
  static_assert(kStages % 32 == 0 && kUnits % 32 == 0 && kSums % 32 == 0);
  const std::size_t fixed =
      kStages + kSums + kBarriers + kSumBarriers + kOnce + kShares + kRows + entries;
  const std::size_t room = fixed < limits.shared_bytes ? limits.shared_bytes - fixed : 0;
  plan.buffers =
      static_cast<int>(std::min<std::size_t>(room / (activations + kUnits), kRowBuffersMax));
  plan.rows_bytes = static_cast<unsigned>(activations + kUnits);
  plan.activations_at = static_cast<unsigned>(kStages);
  plan.units_at = plan.activations_at + static_cast<unsigned>(activations);
  plan.sums_at = plan.activations_at + static_cast<unsigned>(plan.buffers) * plan.rows_bytes;
  plan.barriers_at = plan.sums_at + static_cast<unsigned>(kSums);
  plan.sum_barriers_at = plan.barriers_at + static_cast<unsigned>(kBarriers);
  plan.once_at = plan.sum_barriers_at + static_cast<unsigned>(kSumBarriers);
  plan.shares_at = plan.once_at + static_cast<unsigned>(kOnce);
  plan.rows_at = plan.shares_at + static_cast<unsigned>(kShares);
  plan.entries_at = plan.rows_at + static_cast<unsigned>(kRows);
  plan.total = plan.entries_at + static_cast<unsigned>(entries);
  plan.rows = static_cast<int>(a.rows);
  plan.experts = static_cast<int>(a.groups);
  return plan;
}

bool supports_groups(const Product& a) {
  return a.row_group != nullptr && a.rows <= kRowsMax && a.groups <= UINT16_MAX &&
         fits_tensor_cores(a) && has_bulk_copies() &&
         (is_fast_int4(a) || is_fast_fp4(a) || is_fast_fp8(a)) &&
         a.inputs % columns_of(a.weight.first, kGroupsBox) == 0 &&
         a.outputs % (a.gated ? kGroupsHalfRows : kGroupsSlabRows) == 0 && suits(a.weight) &&
         (!a.gated || (suits(a.up) && are_alike(a.weight.first, a.up.first))) &&
         find_encode_tensor_map() != nullptr && groups_plan(a, a.inputs, bulk_limits()).buffers > 0;
}

cudaError_t make_groups_product(const Product& a, GroupsProduct& p) {
  p.a = a;
  p.chunks = static_cast<int>(a.inputs / columns_of(a.weight.first, kGroupsPart / kTeamWarps));
  p.parts = (p.chunks + kTeamWarps - 1) / kTeamWarps;
  p.slabs = static_cast<int>(a.outputs / (a.gated ? kGroupsHalfRows : kGroupsSlabRows));
  const device::Weights& second = a.gated ? a.up : a.weight;
  cudaError_t code = map_data(a, a.weight, p.maps.of[0]);
  if (code == cudaSuccess) code = map_data(a, second, p.maps.of[1]);
  if (has_eight_bits(a.weight.first)) return code;
  if (code == cudaSuccess) code = map_scales(a, a.weight, p.maps.of[2]);
  if (code == cudaSuccess) code = map_scales(a, second, p.maps.of[3]);
  return code;
}

bool supports_halves(const Product& inner, const Product& outer) {
  const BulkLimits limits = bulk_limits();
  return limits.alone && supports_groups(inner) && supports_groups(outer) &&
         inner.weight.first.coding == outer.weight.first.coding &&
         groups_plan(inner, std::max(inner.inputs, outer.inputs), limits).buffers > 0;
}

bool ends_shared(const Product& inner, const MoeLayer::SharedExpert& a) {
  // More tokens take workers longer than they would have waited, and so do weights in bf16, which
  // are four times as many bytes.
  constexpr std::int64_t kTokensMax = 32;
  constexpr std::int64_t kPlainTokensMax = 16;
  const device::Weight w = device_weight(a.down);
  const device::Weight& others = inner.weight.first;
  const bool plain = others.coding == device::Coding::int4 && w.coding == device::Coding::bf16;
  const bool alike =
      has_eight_bits(others) ? is_fast_fp8(w) : is_fast_fp4(others) && is_fast_fp4(w);
  const std::int64_t columns = a.down.layout.cols;
  return (plain || alike) && a.inner.size(0) <= (plain ? kPlainTokensMax : kTokensMax) &&
         columns <= kSharedInputsMax && columns % kSharedPiece == 0 &&
         a.down.layout.rows % kSharedRows == 0 && aligned(w.data) && aligned(a.inner.data);
}

GroupsShared groups_shared(const MoeLayer::SharedExpert& a) {
  return {.down = device_weight(a.down),
          .inner = static_cast<const __nv_bfloat16*>(a.inner.data),
          .out = static_cast<__nv_bfloat16*>(a.out.data),
          .tokens = static_cast<int>(a.inner.size(0)),
          .outputs = static_cast<int>(a.down.layout.rows),
          .inputs = static_cast<int>(a.down.layout.cols)};
}

}  // namespace glm::kernels::cuda
