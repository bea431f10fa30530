#include "kernels/cuda/pairs_plan.h"

#include <algorithm>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

std::uint32_t scale_bytes(const device::Weight& w) {
  return w.coding == device::Coding::int4 ? 2 : 1;
}

// Those of a unit are copied sixteen bytes at a time.
bool suits_scales(const device::Weight& w) {
  return scale_bytes(w) * kPairUnit == kPairScaleRowBytes * w.group;
}

// A lane has one scale of a row for its share of a unit.
bool suits_fp8(const device::Weight& w) {
  return is_fast_fp8(w) && (w.groups == 1 || w.group % kPairHalf == 0);
}

unsigned bits_of(const device::Weight& w) {
  return w.coding == device::Coding::e4m3 ? 8 : 4;
}

bool suits(const device::Weight& w) {
  if (suits_fp8(w)) return true;
  return (is_fast_int4(w) || is_fast_fp4(w)) && w.zeros == nullptr && suits_scales(w) &&
         aligned(w.scales);
}

bool suits(const Product& a) {
  const bool joined = a.joined_at > 0;
  return a.row_group == nullptr && !a.gated && a.x_divisor == 1 && a.rows <= kPairRowsMax &&
         fits_tensor_cores(a) && suits(a.weight.first) && a.inputs % kPairUnit == 0 &&
         a.outputs <= INT32_MAX / 2 &&
         (!joined ||
          (a.groups == 1 && suits(a.up.first) && a.up.first.coding == a.weight.first.coding &&
           a.joined_at % (kPairBlocks * kPairOutputs) == 0));
}

cudaError_t map_weight(const device::Weight& w, std::int64_t rows, PairWeightMaps& maps) {
  const cudaError_t code = make_tensor_map(
      {w.data, w.row_bytes, rows, kPairHalf * bits_of(w) / 8, kPairOutputs}, maps.weights);
  if (code != cudaSuccess || bits_of(w) == 8) return code;
  return make_tensor_map(
      {w.scales, std::int64_t{w.groups} * scale_bytes(w), rows, kPairScaleRowBytes, kPairOutputs},
      maps.scales);
}

PairPlan plan_with(const Product& a, int parts, const BulkLimits& limits) {
  constexpr unsigned kReserved = 1024;  // of a block, beside what it asks for
  PairPlan plan = {};
  const std::int64_t tiles = (a.outputs + kPairOutputs - 1) / kPairOutputs;
  plan.tiles = static_cast<int>((tiles + kPairBlocks - 1) / kPairBlocks * kPairBlocks);
  plan.parts = parts;
  plan.bits = bits_of(a.weight.first);
  plan.units = static_cast<int>(a.inputs / kPairUnit / parts);
  const std::int64_t columns = pair_columns(a.rows);
  plan.box = static_cast<unsigned>((a.rows + 7) / 8 * 8 * kPairBox * 2);
  plan.box_pitch = static_cast<unsigned>(columns * kPairBox * 2);
  const auto own = static_cast<unsigned>(plan.units);
  plan.rows_at = own * kPairGroups * (kPairHalfWeights * plan.bits / 8);
  plan.scales_at = plan.rows_at + own * kPairUnitBoxes * plan.box_pitch;
  plan.received_at =
      std::max(plan.scales_at + (plan.bits == 4 ? own * kPairScalesBytes : 0),
               static_cast<unsigned>(kPairGroups * columns * kPairSumsPitch * sizeof(float)));
  const auto received = static_cast<unsigned>(columns * kPairOutputs * sizeof(float));
  const unsigned barriers = (own * 2 + 1) * static_cast<unsigned>(sizeof(std::uint64_t));
  // Of blocks that take a multiprocessor each, not all clusters would run at once, unless they are
  // few.
  plan.together = 2 * (kPairAlignment + plan.received_at + received + barriers) + kReserved <=
                      limits.shared_bytes ||
                  2 * parts * plan.tiles <= limits.multiprocessors;
  plan.barriers_at = plan.received_at + (parts > 1 && plan.together ? received : 0);
  plan.total = kPairAlignment + plan.barriers_at + barriers;
  plan.whole_fours = !a.out_f32 && a.bias == nullptr && a.factor == nullptr && aligned(a.out, 8) &&
                     a.out_stride % 4 == 0 && a.out_group_stride % 4 == 0;
  return plan;
}

int most_parts(const Product& a, const PairPlan& whole, int multiprocessors) {
  // Blocks with room for many rows are large: where half of the multiprocessors are enough, those
  // of the kernel behind find the others free.
  const int fewest_units = a.rows > kPairRowsMax / 2 ? kPairManyUnits : 1;
  int parts = 1;
  while (a.groups == 1 && 2 * parts <= kPairPartsMax && whole.units % (2 * parts) == 0 &&
         2 * parts * whole.tiles <= multiprocessors && whole.units / parts > fewest_units) {
    parts *= 2;
  }
  return parts;
}

}  // namespace

std::optional<PairPlan> pair_plan(const Product& a) {
  if (!suits(a) || !takes_warpgroups()) return std::nullopt;
  const BulkLimits limits = bulk_limits();
  const PairPlan whole = plan_with(a, 1, limits);
  PairPlan plan = plan_with(a, most_parts(a, whole, limits.multiprocessors), limits);
  // Parts that are not together wait for each other all the same.
  const bool may_wait = limits.alone && plan.parts * plan.tiles <= a.split.blocks;
  if (plan.parts > 1 && !plan.together && !may_wait) plan = whole;
  return plan.total <= limits.shared_bytes ? std::optional(plan) : std::nullopt;
}

cudaError_t make_pair_maps(const Product& a, const PairPlan& plan, PairMaps& maps) {
  const std::int64_t first = a.joined_at > 0 ? a.joined_at : a.outputs;
  const std::int64_t rows = (a.groups - 1) * a.weight_rows_per_group + first;
  cudaError_t code = map_weight(a.weight.first, rows, maps.of[0]);
  if (code == cudaSuccess && a.joined_at > 0) {
    code = map_weight(a.up.first, a.outputs - a.joined_at, maps.of[1]);
  }
  if (code != cudaSuccess) return code;
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = a.x,
                          .columns = a.inputs,
                          .middle = a.rows,
                          .outer = a.groups,
                          .middle_stride = a.x_stride,
                          .outer_stride = a.groups > 1 ? a.x_group_stride : a.x_stride,
                          .box_columns = kPairBox,
                          .box_middle = plan.box / (kPairBox * 2)},
                         maps.rows);
}

}  // namespace glm::kernels::cuda
