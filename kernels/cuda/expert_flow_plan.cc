#include <algorithm>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/expert_flow.h"
#include "kernels/cuda/flow_plan.h"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

constexpr std::int64_t kExpertsMax = 256;
constexpr std::int64_t kPairsMax = 1024;
constexpr int kHighestBox = kExpertUnitRows / 8;

// Of a gated product gate and up are beside each other, eight rows of each.
cudaError_t map_weights(const Product& a, CUtensorMap& map) {
  const device::Weight& w = a.weight.first;
  const auto row = static_cast<cuuint64_t>(w.row_bytes);
  const auto expert = static_cast<cuuint64_t>(a.weight.data_bytes);
  const std::uint8_t* first = w.data;
  cuuint64_t between = expert;
  if (a.gated) {
    const std::uint8_t* up = a.up.first.data;
    first = std::min(first, up);
    between = static_cast<cuuint64_t>(std::max(w.data, up) - first);
  }
  const cuuint32_t beside = a.gated ? 2 : 1;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(a.inputs), 8, beside,
                              static_cast<cuuint64_t>(a.outputs / 8),
                              static_cast<cuuint64_t>(a.groups)};
  const cuuint64_t strides[] = {row, between, 8 * row, expert};
  const cuuint32_t box[] = {kFlowDepth, 8, beside, kHighestBox / beside, 1};
  const cuuint32_t steps[] = {1, 1, 1, 1, 1};
  const CUresult code = find_encode_tensor_map()(
      &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 5, const_cast<std::uint8_t*>(first), sizes, strides,
      box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return code == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t make_half(const Product& a, std::int64_t rows, ExpertHalf& half) {
  half.steps = static_cast<int>((a.inputs + kFlowDepth - 1) / kFlowDepth);
  half.units = static_cast<int>(a.outputs * (a.gated ? 2 : 1) / kExpertUnitRows);
  if (const cudaError_t code = map_weights(a, half.weights); code != cudaSuccess) return code;
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = a.x,
                          .columns = a.inputs,
                          .middle = rows,
                          .outer = 1,
                          .middle_stride = a.x_stride,
                          .outer_stride = a.x_stride,
                          .box_middle = kExpertBoxRows},
                         half.rows);
}

bool fits_boxes(const device::Weights& w) {
  return w.first.coding == device::Coding::bf16 && flows(w.first) && w.data_bytes % 16 == 0;
}

bool suits(const Product& a) {
  return a.row_group != nullptr && a.groups <= kExpertsMax && fits_tensor_cores(a) &&
         fits_boxes(a.weight) && a.outputs * (a.gated ? 2 : 1) % kExpertUnitRows == 0 &&
         (!a.gated || (fits_boxes(a.up) && a.up.first.row_bytes == a.weight.first.row_bytes &&
                       a.up.data_bytes == a.weight.data_bytes));
}

}  // namespace

bool supports_expert_flow(const Product& inner, const Product& outer) {
  return suits(inner) && suits(outer) && inner.gated && !outer.gated &&
         inner.rows / inner.x_divisor <= kFlowRowsMax && inner.rows <= kPairsMax &&
         inner.inputs == outer.outputs && bulk_limits().alone && takes_warpgroups();
}

cudaError_t make_expert_flow(const Product& inner, const Product& outer, void* gathered,
                             ExpertFlow& flow) {
  flow.x = static_cast<const __nv_bfloat16*>(inner.x);
  flow.x_stride = inner.x_stride;
  flow.gathered = static_cast<__nv_bfloat16*>(gathered);
  flow.ids = inner.row_group;
  flow.factors = outer.factor;
  flow.inner = static_cast<__nv_bfloat16*>(inner.out);
  flow.out = static_cast<float*>(outer.out);
  flow.tokens = static_cast<std::int32_t>(inner.rows / inner.x_divisor);
  flow.chosen = static_cast<std::int32_t>(inner.x_divisor);
  flow.experts = static_cast<std::int32_t>(inner.groups);
  flow.wide = static_cast<std::int32_t>(inner.outputs);
  flow.hidden = static_cast<std::int32_t>(outer.outputs);
  flow.up_first = inner.up.first.data < inner.weight.first.data;

  const auto experts = static_cast<unsigned>(flow.experts);
  const auto pairs = static_cast<unsigned>(inner.rows);
  const unsigned lists = experts * (8 + 4 + 4) + 8 + (pairs * 2 + 7) / 8 * 8;
  constexpr unsigned kBarriers = (2 * kExpertStagesMax + 2) * sizeof(std::uint64_t);
  const unsigned room = bulk_limits().shared_bytes - kFlowAlignment - lists - kBarriers;
  flow.barriers_at = room / kFlowAlignment * kFlowAlignment;
  flow.masks_at = flow.barriers_at + kBarriers;
  flow.firsts_at = flow.masks_at + 8 * experts;
  flow.entries_at = flow.firsts_at + 4 * experts;
  flow.pairs_at = flow.entries_at + 4 * experts + 8;
  flow.total = kFlowAlignment + flow.pairs_at + (pairs * 2 + 7) / 8 * 8;

  Product first = inner;
  std::int64_t rows = flow.tokens;
  if (gathered != nullptr) {
    first.x = gathered;
    first.x_stride = inner.inputs;
    rows = inner.rows;
  }
  const cudaError_t code = make_half(first, rows, flow.half[0]);
  return code == cudaSuccess ? make_half(outer, inner.rows, flow.half[1]) : code;
}

}  // namespace glm::kernels::cuda
