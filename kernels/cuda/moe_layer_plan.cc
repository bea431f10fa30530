#include <algorithm>
#include <bit>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_products.h"

namespace glm::kernels::cuda {
namespace {

constexpr std::int64_t kExpertsMax = 1024;
constexpr std::int64_t kChosenMax = 32;

// bf16, in whole chunks and slabs.
bool is_plain(const WeightView& weight, std::int64_t slab_rows) {
  return weight.layout.format == WeightFormat::bf16 && aligned(weight.data) &&
         weight.layout.cols % kChunk == 0 && weight.layout.rows % slab_rows == 0;
}

// One more expert like the others.
bool is_coded(const WeightView& weight, const ExpertsView& experts) {
  return weight.layout == experts.layout && aligned(weight.data) && aligned(weight.scales) &&
         aligned(weight.zeros);
}
bool is_coded(const MoeLayer& a) {
  return is_coded(a.shared.gate, a.gate) && is_coded(a.shared.up, a.up) &&
         is_coded(a.shared.down, a.down);
}
bool is_plain(const MoeLayer& a) {
  return is_plain(a.shared.gate, kSlabRows / 2) && is_plain(a.shared.up, kSlabRows / 2) &&
         is_plain(a.shared.down, kSlabRows);
}

unsigned reciprocal(int divisor) {
  return static_cast<unsigned>(((1ULL << 32U) + static_cast<unsigned>(divisor) - 1) /
                               static_cast<unsigned>(divisor));
}

// Deals out shared memory, each piece at a multiple of sixteen.
class Places {
 public:
  unsigned take(std::size_t bytes) {
    const std::size_t place = used_;
    used_ += (bytes + 15) / 16 * 16;
    return static_cast<unsigned>(place);
  }
  std::size_t used() const { return used_; }

 private:
  std::size_t used_ = 0;
};

}  // namespace

std::optional<MoeArgs> moe_args(const MoeLayer& a, const MoeWorkspace& space) {
  const std::int64_t tokens = a.x.size(0);
  if (tokens < 1 || tokens > kMoeTokensMax || a.gate.experts > kExpertsMax ||
      a.ids.size(1) > kChosenMax || !a.shared || !(is_plain(a) || is_coded(a))) {
    return std::nullopt;
  }
  MoeArgs args{.inner = inner_product(a.experts(), space),
               .outer = outer_product(a.experts(), space),
               .norm = nullptr,
               .scores = nullptr,
               .eps = 0,
               .shared_gate = device_weight(a.shared.gate),
               .shared_up = device_weight(a.shared.up),
               .shared_down = device_weight(a.shared.down),
               .shared_coded = !is_plain(a),
               .rule = router_rule(a.choice()),
               .out = static_cast<__nv_bfloat16*>(a.out.data),
               .wide = static_cast<__nv_bfloat16*>(a.shared.inner.data),
               .logits = static_cast<float*>(a.logits.data),
               .ids = static_cast<std::int32_t*>(a.ids.data),
               .weights = static_cast<float*>(a.weights.data),
               .progress = space.progress,
               .out_stride = a.out.stride(0),
               .tokens = static_cast<std::int32_t>(tokens),
               .wide_inputs = static_cast<std::int32_t>(a.shared.down.layout.cols)};
  if (a.front) {
    args.norm = static_cast<const __nv_bfloat16*>(a.front.norm.weight.data);
    args.scores = space.scores;
    args.eps = a.front.norm.eps;
    args.inner.x = a.front.norm.sum.data;
    args.inner.x_stride = a.front.norm.sum.stride(0);
    if (!aligned(args.norm)) return std::nullopt;
  }
  if (!aligned(args.wide)) return std::nullopt;
  // In e4m3 a bf16 expert beside the others has no kernel.
  if (args.shared_coded && supports_fp8_slabs(args.inner) && supports_fp8_slabs(args.outer)) {
    return args;
  }
  if (!supports_bulk(args.inner) || !supports_bulk(args.outer)) return std::nullopt;
  // Both halves are decoded by the same code.
  const auto has_zeros = [](const Product& half) { return half.weight.first.zeros != nullptr; };
  if (is_fast_fp4(args.inner) != is_fast_fp4(args.outer) ||
      has_zeros(args.inner) != has_zeros(args.outer)) {
    return std::nullopt;
  }
  return args;
}

std::optional<MoePlan> moe_plan(const MoeArgs& a, const BulkLimits& limits) {
  if (!limits.alone) return std::nullopt;  // blocks wait for each other
  MoePlan plan = {};
  const BulkSizes sizes{.tiles = 1, .teams = kMoeTeams};
  plan.inner = bulk_plan(a.inner, sizes, limits);
  plan.outer = bulk_plan(a.outer, sizes, limits);
  // What blocks share out is counted in 32 bits, in sixteenths.
  const std::int64_t most = std::int64_t{a.rule.experts} * plan.inner.slabs * 16;
  if (most * limits.multiprocessors >= 1LL << 30U) return std::nullopt;
  plan.wide_slabs = a.wide_inputs / (kSlabRows / 2);
  plan.hidden_slabs = static_cast<int>(a.outer.outputs) / kSlabRows;
  plan.by_blocks = reciprocal(limits.multiprocessors);
  plan.by_inner_slabs = reciprocal(plan.inner.slabs);
  plan.octets = static_cast<int>(a.inner.inputs) / 8;
  plan.by_octets = reciprocal(plan.octets);
  // About half of the shared expert's has come before the choice is known.
  const int plain_slab = kSlabRows * 2 * static_cast<int>(a.inner.inputs);
  const auto coded_slab = static_cast<int>(plan.inner.stage_copied);
  plan.wide_slab_cost = (a.shared_coded ? coded_slab : plain_slab) * 8 / coded_slab;
  const auto longest =
      static_cast<unsigned>(std::max(static_cast<int>(a.inner.inputs), a.wide_inputs));
  const unsigned row = static_cast<unsigned>(a.outer.inputs) * 2;
  plan.stage = std::max(plan.inner.stage, (plan.outer.stage + row + 127) / 128 * 128);
  if (!a.shared_coded) {
    plan.stage = std::max(plan.stage, (kQuadRows * 2 * longest + kQuadShift + 127) / 128 * 128);
  }
  plan.row_at = plan.outer.stage;

  const auto pairs = static_cast<std::size_t>(a.outer.rows);
  const auto experts = static_cast<std::size_t>(a.rule.experts);
  const int blocks = limits.multiprocessors;
  const auto slabs = static_cast<std::size_t>((plan.wide_slabs + blocks - 1) / blocks);
  Places places;
  plan.x_pitch = static_cast<unsigned>(a.inner.inputs) * 2 + kRowShift;
  const std::size_t activations = static_cast<std::size_t>(a.tokens) * plan.x_pitch;
  plan.extra_rows = static_cast<int>(activations / row);
  places.take(activations);
  plan.partial_at = places.take(kMoeTeams * kBuffers * kBufferSums * sizeof(float4));
  plan.shared_at = places.take(slabs * kMoeTeams * 32 * sizeof(float4));
  plan.totals_at = places.take(pairs * kSlabRows * sizeof(float));
  plan.barriers_at = places.take(2 * 32 * sizeof(std::uint64_t));
  plan.team_barriers_at = places.take(kMoeTeams * kBuffers * sizeof(std::uint64_t));
  plan.known_at = places.take(kMoeKnown * sizeof(std::uint64_t));
  plan.through_at = places.take(kMoeTasks * sizeof(std::uint64_t));
  plan.shared_full_at = places.take(kQuads * sizeof(std::uint64_t));
  plan.phases_at = places.take(sizeof(MoeProgress));
  plan.extras_at = places.take(experts);
  plan.scales_at = places.take(kMoeTokensMax * sizeof(float));
  plan.half_units_at = places.take((kMoeTokensMax + 1) * sizeof(float));
  plan.scratch = static_cast<unsigned>(a.rule.scratch_bytes());
  plan.scratch_at = places.take(kMoeTokensMax * plan.scratch);
  plan.weights_at = places.take(pairs * sizeof(float));
  plan.ids_at = places.take(pairs * sizeof(std::int32_t));
  plan.order_at = places.take(pairs * sizeof(std::int32_t));
  plan.bias_at = places.take(experts * sizeof(float));
  plan.masks_at = places.take(experts * sizeof(std::uint32_t));
  plan.slots_at = places.take(experts * kMoeTokensMax);
  plan.active_at = places.take((experts + 2) * sizeof(std::int32_t));
  plan.stages_at = static_cast<unsigned>((places.used() + 127) / 128 * 128);
  if (plan.stages_at >= limits.shared_bytes) return std::nullopt;
  const unsigned room = (limits.shared_bytes - plan.stages_at) / plan.stage;
  if (room < kMoeTeams) return std::nullopt;
  plan.stages_shift = std::bit_width(std::min(room, 32U)) - 1;
  plan.stages = 1 << plan.stages_shift;
  // From one slab of outputs to the next, whoever sends rows to stages must not lose count of their
  // rounds (moe_layer_watch.cuh).
  if (plan.stages < 2 * kMoeTeams && plan.hidden_slabs > limits.multiprocessors) {
    return std::nullopt;
  }
  plan.total = plan.stages_at + static_cast<unsigned>(plan.stages) * plan.stage;
  return plan;
}

}  // namespace glm::kernels::cuda
