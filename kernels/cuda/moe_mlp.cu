// Two products over (token, expert) pairs, then each token adds its own (moe_sum.h). Contract:
// kernels/ops/moe_mlp.h.
#include "base/check.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/expert_flow.h"
#include "kernels/cuda/groups_plan.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/moe_gather.h"
#include "kernels/cuda/moe_products.h"
#include "kernels/cuda/moe_sum.h"
#include "kernels/cuda/product.h"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kListThreads = 1024;
constexpr unsigned kFullWarp = 0xFFFFFFFFU;

struct Lists {
  const std::int32_t* ids;
  MoeWorkspace space;
  std::int32_t pairs;
  std::int32_t experts;
  std::int32_t tile_rows;
};

// Each warp looks for its experts among all pairs, so the order within an expert is that of pairs.
// One block: the list is short.
__global__ void list_kernel(Lists a) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  constexpr int kWarps = kListThreads / device::kWarpThreads;
  const auto mine = [&](int i, int expert) { return i < a.pairs && a.ids[i] == expert; };

  for (int expert = warp; expert < a.experts; expert += kWarps) {
    int count = 0;
    for (int i = lane; i - lane < a.pairs; i += device::kWarpThreads) {
      count += __popc(__ballot_sync(kFullWarp, mine(i, expert)));
    }
    if (lane == 0) a.space.offsets[expert + 1] = count;
  }
  __syncthreads();  // all counts are there
  if (threadIdx.x == 0) {
    int end = 0;
    int tiles = 0;
    a.space.offsets[0] = 0;
    for (int expert = 0; expert < a.experts; ++expert) {
      const int first = end;
      end += a.space.offsets[expert + 1];
      a.space.offsets[expert + 1] = end;
      for (int at = first; a.tile_rows > 0 && at < end; at += a.tile_rows) {
        a.space.tiles[tiles++] = {expert, at, min(a.tile_rows, end - at)};
      }
    }
    *a.space.tile_count = tiles;
  }
  __syncthreads();  // all offsets are there
  for (int expert = warp; expert < a.experts; expert += kWarps) {
    int at = a.space.offsets[expert];
    if (at == a.space.offsets[expert + 1]) continue;
    for (int i = lane; i - lane < a.pairs; i += device::kWarpThreads) {
      const unsigned all = __ballot_sync(kFullWarp, mine(i, expert));
      const unsigned before = all & ((1U << lane) - 1U);
      if (mine(i, expert)) a.space.sorted[at + __popc(before)] = i;
      at += __popc(all);
    }
  }
}

cudaError_t run(Product product, const MoeMlp& a, const MoeWorkspace& space,
                std::string_view variant, std::int64_t& listed_rows, cudaStream_t stream) {
  const ProductVariant& chosen = choose_variant(product, variant);
  const std::int64_t tile_rows = chosen.tile_rows(product);
  if (tile_rows > 0 && tile_rows != listed_rows) {
    list_kernel<<<1, kListThreads, 0, stream>>>(
        {.ids = a.ids.as<std::int32_t>(),
         .space = space,
         .pairs = static_cast<std::int32_t>(product.rows),
         .experts = static_cast<std::int32_t>(product.groups),
         .tile_rows = static_cast<std::int32_t>(tile_rows)});
    listed_rows = tile_rows;
  }
  if (tile_rows > 0) {
    // Every group may end in a tile that is not full.
    const std::int64_t full = product.rows / tile_rows;
    product.tiles_max = min(product.rows, full + product.groups);
  }
  return chosen.launch(product, stream);
}

// Both halves over rows in the order of experts, where they suit the products that want them so.
// What comes of them is bf16, without its weight.
struct SortedHalves {
  Product inner;
  Product outer;
};

SortedHalves sorted_halves(const MoeMlp& a, const MoeWorkspace& space) {
  SortedHalves halves{.inner = inner_product(a, space), .outer = outer_product(a, space)};
  halves.inner.x = space.gathered;
  halves.inner.x_stride = a.x.size(1);
  halves.inner.x_divisor = 1;
  halves.inner.x_sorted = true;
  halves.inner.out_sorted = true;
  halves.inner.x_dealt = wants_dealt(halves.inner);
  halves.inner.out_dealt = wants_dealt(halves.outer);
  halves.outer.x_sorted = true;
  halves.outer.x_dealt = halves.inner.out_dealt;
  halves.outer.factor = nullptr;
  halves.outer.out_f32 = false;
  return halves;
}

bool wants_sorted(const SortedHalves& halves, std::string_view variant) {
  const auto wants = [&](const Product& half) {
    return choose_variant(half, variant).launch == &launch_wgmma;
  };
  return wants(halves.inner) && wants(halves.outer);
}

cudaError_t run_sorted(SortedHalves halves, const MoeMlp& a, const MoeWorkspace& space,
                       cudaStream_t stream) {
  const std::int64_t tile_rows = wgmma_tile_rows(halves.inner);
  const std::int64_t pairs = halves.inner.rows;
  const MoeGather gather{.ids = a.ids.as<std::int32_t>(),
                         .x = a.x.data,
                         .x_stride = a.x.stride(0),
                         .hidden = static_cast<std::int32_t>(a.x.size(1)),
                         .pairs = static_cast<std::int32_t>(pairs),
                         .chosen = static_cast<std::int32_t>(a.ids.size(1)),
                         .experts = static_cast<std::int32_t>(a.gate.experts),
                         .tile_rows = static_cast<std::int32_t>(tile_rows),
                         .dealt = halves.inner.x_dealt,
                         .out = space.gathered,
                         .sorted = space.sorted,
                         .tiles = space.tiles,
                         .tile_count = space.tile_count};
  halves.inner.tiles_max = min(pairs, pairs / tile_rows + halves.inner.groups);
  halves.outer.tiles_max = halves.inner.tiles_max;
  cudaError_t code = launch_moe_gather(gather, stream);
  if (code == cudaSuccess) code = launch_wgmma(halves.inner, stream);
  return code == cudaSuccess ? launch_wgmma(halves.outer, stream) : code;
}

}  // namespace

Product inner_product(const MoeMlp& a, const MoeWorkspace& space) {
  return {.out = space.inner,
          .x = a.x.data,
          .weight = device_weights(a.gate),
          .up = device_weights(a.up),
          .out_stride = a.gate.layout.rows,
          .x_stride = a.x.stride(0),
          .rows = a.ids.size(0) * a.ids.size(1),
          .outputs = a.gate.layout.rows,
          .inputs = a.x.size(1),
          .groups = a.gate.experts,
          .x_divisor = a.ids.size(1),
          .gated = true,
          .row_group = a.ids.as<std::int32_t>(),
          .sorted = space.sorted,
          .tiles = space.tiles,
          .tile_count = space.tile_count};
}

Product outer_product(const MoeMlp& a, const MoeWorkspace& space) {
  return {.out = space.outer,
          .x = space.inner,
          .weight = device_weights(a.down),
          .factor = a.weights.as<float>(),
          .out_stride = a.x.size(1),
          .x_stride = a.gate.layout.rows,
          .rows = a.ids.size(0) * a.ids.size(1),
          .outputs = a.x.size(1),
          .inputs = a.gate.layout.rows,
          .groups = a.gate.experts,
          .out_f32 = true,
          .row_group = a.ids.as<std::int32_t>(),
          .row_group_early = true,
          .sorted = space.sorted,
          .tiles = space.tiles,
          .tile_count = space.tile_count};
}

namespace {

bool goes_sorted(const Product& inner, const SortedHalves& halves, std::string_view variant) {
  return fits_tensor_cores(inner) && wants_sorted(halves, variant);
}

bool goes_in_groups(const Product& inner, const Product& outer, std::string_view variant) {
  const auto in_groups = [&](const Product& half) {
    return choose_variant(half, variant).launch == &launch_groups;
  };
  return in_groups(inner) && in_groups(outer) && supports_halves(inner, outer);
}

cudaError_t run_in_order(const MoeMlp& a, const MoeWorkspace& space, std::string_view variant,
                         const MoeLayer::SharedExpert* begun, cudaStream_t stream) {
  const Product inner = inner_product(a, space);
  const Product outer = outer_product(a, space);
  if (goes_in_groups(inner, outer, variant)) {
    const GroupsShared shared = begun != nullptr ? groups_shared(*begun) : GroupsShared{};
    return launch_halves(inner, outer, shared, space.meetings, stream);
  }
  GLM_CHECK(begun == nullptr);
  if ((variant.empty() || variant == "flow") && supports_expert_flow(inner, outer)) {
    return launch_expert_flow(inner, outer, space, stream);
  }
  std::int64_t listed_rows = 0;
  const cudaError_t code = run(inner, a, space, variant, listed_rows, stream);
  return code == cudaSuccess ? run(outer, a, space, variant, listed_rows, stream) : code;
}

}  // namespace

bool ends_shared_expert(const MoeLayer& a, const MoeWorkspace& space) {
  const MoeMlp experts = a.experts();
  const Product inner = inner_product(experts, space);
  return !goes_sorted(inner, sorted_halves(experts, space), "") &&
         goes_in_groups(inner, outer_product(experts, space), "") && ends_shared(inner, a.shared);
}

cudaError_t launch_moe_mlp(const MoeMlp& a, const MoeWorkspace& space, std::string_view variant,
                           cudaEvent_t shared_ready, cudaStream_t stream,
                           std::optional<MoeSum>* left, const MoeLayer::SharedExpert* begun) {
  GLM_CHECK(a.x.dtype == Dtype::bf16);
  if (a.x.size(0) == 0 || a.x.size(1) == 0) return cudaSuccess;
  cudaError_t code = cudaSuccess;
  const SortedHalves halves = sorted_halves(a, space);
  const bool sorted = goes_sorted(inner_product(a, space), halves, variant);
  GLM_CHECK(!sorted || begun == nullptr);
  if (sorted) {
    code = run_sorted(halves, a, space, stream);
  } else {
    code = run_in_order(a, space, variant, begun, stream);
  }
  if (code != cudaSuccess) return code;
  if (shared_ready != nullptr) {
    code = cudaStreamWaitEvent(stream, shared_ready, 0);
    if (code != cudaSuccess) return code;
  }
  const MoeSum sum = moe_sum(a, space, !sorted);
  if (left == nullptr) return launch_moe_sum(sum, stream);
  *left = sum;
  return cudaSuccess;
}

}  // namespace glm::kernels::cuda
