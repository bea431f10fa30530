#include <algorithm>

#include "kernels/cuda/moe_columns.h"

namespace glm::kernels::cuda {
namespace {

unsigned reciprocal(int divisor) {
  return static_cast<unsigned>(((1ULL << 32U) + static_cast<unsigned>(divisor) - 1) /
                               static_cast<unsigned>(divisor));
}

constexpr unsigned padded(std::size_t bytes, unsigned to) {
  return static_cast<unsigned>((bytes + to - 1) / to * to);
}

// Two bytes of scales for thirty-two columns in either coding.
bool suits_coding(const MoeArgs& a) {
  const auto suits = [&](const device::Weight& w) {
    const unsigned scale_bytes = is_fast_fp4(w) ? 1 : 2;
    return w.zeros == nullptr && w.group == 16 * scale_bytes;
  };
  const bool suits_shared =
      is_fast_fp4(a.inner) == a.shared_coded && (a.shared_coded || is_fast_int4(a.inner));
  return suits_shared && suits(a.inner.weight.first) && suits(a.outer.weight.first);
}

bool suits(const MoeArgs& a) {
  const auto longest =
      std::max({static_cast<int>(a.inner.inputs), static_cast<int>(a.outer.inputs), a.wide_inputs});
  return suits_coding(a) && longest <= kColumnWarps * kChunk && a.wide_inputs <= kMoeAwaitedWide &&
         a.rule.experts <= kColumnExperts && a.rule.groups == 1 && a.rule.chosen <= kColumnChosen;
}

// `up` is null of a second half.
void list_copies(const device::Weights& weight, const device::Weights* up, const BulkPlan& plan,
                 ColumnsCopy (&copies)[kColumnCopies]) {
  for (int i = 0; i < kColumnCopies; ++i) {
    const int part = i / kQuads;
    const int quad = i % kQuads;
    const int quads = up != nullptr ? kQuads / 2 : kQuads;  // of one weight in a slab
    const device::Weights& w = quad >= quads ? *up : weight;
    const void* base = part == kData ? static_cast<const void*>(w.first.data) : w.first.scales;
    const auto rows = static_cast<std::int64_t>(quad % quads * kQuadRows);
    copies[i] = {.from = static_cast<const std::uint8_t*>(base) + rows * plan.row[part],
                 .expert_bytes = part == kData ? w.data_bytes : w.scales_bytes,
                 .slab_bytes = std::int64_t{quads} * kQuadRows * plan.row[part],
                 .to = plan.at[part] + static_cast<unsigned>(quad) * plan.quad[part],
                 .bytes = kQuadRows * plan.row[part]};
  }
}

}  // namespace

std::optional<ColumnsPlan> columns_plan(const MoeArgs& a, const MoeWorkspace& space,
                                        const BulkLimits& limits) {
  // Two tokens were as fast in moe_layer.cu, and in which order a token's sums are added would
  // depend on the experts of the other.
  if (!limits.alone || !suits(a) || a.tokens != 1) return std::nullopt;
  ColumnsPlan plan = {};
  plan.awaited = space.awaited;
  const auto inputs = static_cast<int>(a.inner.inputs);
  const BulkSizes sizes{.tiles = 1, .teams = 1};
  plan.inner = bulk_plan(a.inner, sizes, limits);
  plan.outer = bulk_plan(a.outer, sizes, limits);
  list_copies(a.inner.weight, &a.inner.up, plan.inner, plan.inner_copies);
  list_copies(a.outer.weight, nullptr, plan.outer, plan.outer_copies);
  if (a.shared_coded) {
    const device::Weights up = {.first = a.shared_up};
    list_copies({.first = a.shared_gate}, &up, plan.inner, plan.wide_copies);
    list_copies({.first = a.shared_down}, nullptr, plan.outer, plan.shared_copies);
  }
  plan.wide_slabs = a.wide_inputs / (kSlabRows / 2);
  plan.hidden_slabs = static_cast<int>(a.outer.outputs) / kSlabRows;
  const int blocks = limits.multiprocessors;
  if (plan.hidden_slabs > blocks) return std::nullopt;
  const int plain_slab = kSlabRows * 2 * inputs;
  const auto coded_slab = static_cast<int>(plan.inner.stage_copied);
  // About half of the shared expert's has come before the choice is known.
  plan.wide_slab_cost = (a.shared_coded ? coded_slab : plain_slab) * 8 / coded_slab;
  plan.by_blocks = reciprocal(blocks);
  plan.by_inner_slabs = reciprocal(plan.inner.slabs);
  const auto longest = static_cast<unsigned>(std::max(inputs, a.wide_inputs));
  plan.stage = std::max(plan.inner.stage, plan.outer.stage);
  if (!a.shared_coded) {
    plan.stage =
        std::max(plan.stage, padded(std::size_t{kQuadRows} * 2 * longest + kQuadShift, 128));
  }

  // What is left to the sums is done by a warp for each slab.
  const int wide_most = (plan.wide_slabs + blocks - 1) / blocks;
  const int routed = a.rule.chosen * plan.inner.slabs;
  const int routed_most = (routed * 16 + plan.wide_slabs * plan.wide_slab_cost) / blocks / 16 + 2;
  if (std::max(routed_most, wide_most) > kColumnWarps) return std::nullopt;
  constexpr std::size_t slab_sums = kSlabRows * sizeof(float) * kSumsPitch;
  const std::size_t halves =
      static_cast<std::size_t>(a.rule.chosen) * static_cast<std::size_t>(a.outer.inputs) * 2;
  unsigned used = 0;
  const auto take = [&](std::size_t bytes) {
    const unsigned place = used;
    used += padded(bytes, 16);
    return place;
  };
  take(static_cast<std::size_t>(inputs) * 2);
  plan.sums_at = take(
      std::max(static_cast<std::size_t>(std::max(routed_most, wide_most)) * slab_sums, halves));
  plan.wide_at = take(static_cast<std::size_t>(a.wide_inputs) * 2);
  plan.outputs_at = take(2 * slab_sums);
  plan.barriers_at = take(std::size_t{2} * kColumnStagesMax * sizeof(std::uint64_t));
  plan.known_at = take(kColumnsKnown * sizeof(std::uint64_t));
  plan.routing_at = take(kColumnsRoutingBytes);
  plan.stages_at = padded(used, 128);
  if (plan.stages_at >= limits.shared_bytes) return std::nullopt;
  plan.stages = static_cast<int>(
      std::min((limits.shared_bytes - plan.stages_at) / plan.stage, kColumnStagesMax));
  // All of the shared expert's first half finds room at once. And what a fetcher asks for next lies
  // up to six items on, as quads of the shared expert are not shared out: with fewer stages it
  // would lose count of their rounds.
  constexpr int kLeastStages = 6;
  if (plan.stages < std::max(wide_most * kQuads, kLeastStages)) return std::nullopt;
  // Those that are coded one warp asks for at once, a lane a copy.
  constexpr int kLanes = 32;
  if (a.shared_coded && wide_most * kColumnCopies > kLanes) return std::nullopt;
  plan.total = plan.stages_at + static_cast<unsigned>(plan.stages) * plan.stage;
  return plan;
}

}  // namespace glm::kernels::cuda
