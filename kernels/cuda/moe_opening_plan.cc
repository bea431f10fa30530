#include "kernels/cuda/moe_opening_plan.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/pairs_plan.h"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kRingBytes = 5 * kOpeningRowsBytes;
constexpr int kChosenMax = 32;
// Norms in halves have squares of as many tokens as there are in any launch.
static_assert(kOpeningTokensMax <= kMoeSquaredTokens && kPairRowsMax <= kMoeSquaredTokens);
constexpr unsigned kReceivedBytes = kOpeningTokensMax / 2 * kOpeningFirstRows * sizeof(float);

// bf16, in whole steps of two blocks.
bool is_plain(const WeightView& weight) {
  return weight.layout.format == WeightFormat::bf16 && aligned(weight.data) &&
         weight.layout.cols % (2 * kOpeningDepth) == 0;
}

// nvfp4, likewise.
bool is_fp4(const WeightView& weight) {
  const device::Weight w = device_weight(weight);
  return is_fast_fp4(w) && w.scale_type == device::ScaleType::e4m3 && aligned(w.data) &&
         w.row_block == 1 && w.cols % (2 * kOpeningDepth) == 0;
}

// e4m3, likewise; what a lane has of a row has one scale.
bool is_fp8(const WeightView& weight) {
  const device::Weight w = device_weight(weight);
  return is_fast_fp8(w) && aligned(w.data) && w.cols % (2 * kOpeningDepth) == 0 &&
         (w.groups == 1 || w.group % (kOpeningDepth / 2) == 0);
}

std::optional<OpeningCoding> coding_of(const MoeLayer::SharedExpert& a) {
  const auto all = [&](bool (*is)(const WeightView&)) {
    return is(a.gate) && is(a.up) && is(a.down);
  };
  if (all(&is_plain)) return OpeningCoding::bf16;
  if (all(&is_fp4)) return OpeningCoding::fp4;
  return all(&is_fp8) ? std::optional(OpeningCoding::fp8) : std::nullopt;
}

bool suits(const MoeLayer& a) {
  const std::int64_t tokens = a.x.size(0);
  return tokens > 0 && tokens <= kOpeningTokensMax && a.x.dtype == Dtype::bf16 && a.shared &&
         is_plain(a.router) && coding_of(a.shared).has_value() &&
         a.gate.experts <= kOpeningFirstRows && a.groups == 1 && a.ids.size(1) <= kChosenMax &&
         aligned(a.x.data) && a.x.stride(0) % 8 == 0 && aligned(a.shared.inner.data) &&
         aligned(a.shared.out.data);
}

// Boxes of so many rows of a matrix, a step wide.
struct Boxes {
  const void* data;
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t stride;
  unsigned at_once;
};
Boxes boxes_of(const WeightView& weight, unsigned at_once) {
  return {weight.data, weight.layout.rows, weight.layout.cols, weight.layout.cols, at_once};
}
Boxes boxes_of(const ConstTensorView& rows, unsigned at_once) {
  return {rows.data, rows.size(0), rows.size(1), rows.stride(0), at_once};
}

}  // namespace

OpeningArgs opening_args(const MoeLayer& a, const MoeWorkspace& space, bool norms) {
  RowSquares squares;
  if (norms) {
    squares = {.sums = space.squares,
               .parts = static_cast<int>(a.x.size(1)) / kSquaredOutputs,
               .eps = a.front.norm.eps};
  }
  return {.squares = squares,
          .weighted = static_cast<const __nv_bfloat16*>(a.front.projection.out.data),
          .x = static_cast<__nv_bfloat16*>(a.front.norm.out.data),
          .weighted_stride = norms ? a.front.projection.out.stride(0) : 0,
          .x_stride = a.x.stride(0),
          .rule = router_rule(a.choice()),
          .logits = static_cast<float*>(a.logits.data),
          .ids = static_cast<std::int32_t*>(a.ids.data),
          .weights = static_cast<float*>(a.weights.data),
          .inner = static_cast<__nv_bfloat16*>(a.shared.inner.data),
          .out = static_cast<__nv_bfloat16*>(a.shared.out.data),
          .progress = space.opening,
          .tokens = static_cast<int>(a.x.size(0)),
          .hidden = static_cast<int>(a.x.size(1)),
          .wide = static_cast<int>(a.shared.gate.layout.rows),
          .gate = device_weight(a.shared.gate),
          .up = device_weight(a.shared.up),
          .down = device_weight(a.shared.down)};
}

std::optional<OpeningPlan> opening_plan(const MoeLayer& a, const BulkLimits& limits, bool begins) {
  if (!limits.alone || !suits(a) || !takes_warpgroups()) return std::nullopt;
  OpeningPlan plan = {};
  plan.coding = *coding_of(a.shared);
  const auto hidden = static_cast<int>(a.x.size(1));
  const auto wide = static_cast<int>(a.shared.gate.layout.rows);
  plan.first_pairs = wide / kOpeningUnits;
  plan.second_pairs = begins ? 0 : hidden / kOpeningSecondRows;
  plan.router_pair = std::max(plan.first_pairs, plan.second_pairs);
  plan.first_steps = hidden / (2 * kOpeningDepth);
  plan.second_steps = begins ? 0 : wide / (2 * kOpeningDepth);
  plan.slot = static_cast<unsigned>((a.x.size(0) + 7) / 8 * 8 * kOpeningDepth * 2);
  plan.slots = static_cast<int>(kRingBytes / plan.slot);
  plan.second_at = std::max(static_cast<unsigned>(plan.first_steps) * kOpeningFirstBytes,
                            static_cast<unsigned>(plan.second_steps) * kOpeningRowsBytes);
  plan.slots_at = plan.second_at + static_cast<unsigned>(plan.second_steps) * kOpeningSecondBytes;
  plan.received_at = plan.slots_at + kRingBytes;
  plan.factors_at = plan.received_at + kReceivedBytes;
  plan.barriers_at = plan.factors_at + kOpeningTokensMax * sizeof(float);
  plan.total = kOpeningAlignment + plan.barriers_at + kOpeningBarriers * sizeof(std::uint64_t);
  const bool fits = plan.first_steps <= kOpeningStepsMax && plan.second_steps <= kOpeningStepsMax &&
                    plan.total <= limits.shared_bytes &&
                    2 * (plan.router_pair + 1) <= limits.multiprocessors;
  return fits ? std::optional(plan) : std::nullopt;
}

cudaError_t make_opening_maps(const MoeLayer& a, const OpeningPlan& plan, bool norms,
                              OpeningMaps& maps) {
  const unsigned rows = plan.slot / (kOpeningDepth * 2);
  const std::pair<CUtensorMap*, Boxes> all[] = {
      {&maps.x, boxes_of(norms ? ConstTensorView(a.front.projection.out) : a.x, rows)},
      {&maps.router, boxes_of(a.router, kOpeningFirstRows)},
      {&maps.inner, boxes_of(a.shared.inner, rows)},
      // Of bf16 alone.
      {&maps.gate, boxes_of(a.shared.gate, kOpeningUnits)},
      {&maps.up, boxes_of(a.shared.up, kOpeningUnits)},
      {&maps.down, boxes_of(a.shared.down, kOpeningSecondRows)}};
  const EncodeTensorMap encode = find_encode_tensor_map();
  const std::size_t count = plan.coding == OpeningCoding::bf16 ? std::size(all) : 3;
  for (const auto& [map, boxes] : std::span(all).first(count)) {
    const cudaError_t code = make_tensor_map(encode,
                                             {.data = boxes.data,
                                              .columns = boxes.columns,
                                              .middle = boxes.rows,
                                              .outer = 1,
                                              .middle_stride = boxes.stride,
                                              .outer_stride = boxes.stride,
                                              .box_middle = boxes.at_once},
                                             *map);
    if (code != cudaSuccess) return code;
  }
  return cudaSuccess;
}

}  // namespace glm::kernels::cuda
