// For weights of four bits that take the time (sm_90 and later): experts, and linear layers as one.
// Every weight passes once: warps of their own keep a ring of stages in shared memory full with
// bulk copies, the others multiply.
//
// A team of four warps takes a slab (bulk_plan.h), shares out its columns and adds the four sums in
// their order: neither the number of blocks nor other rows change the bits of a result. The rows of
// a slab are those of the tensor-core tile, activations its columns. Gated, the first eight rows
// are gate and the others up, so that both of an output meet in one lane.
#include "base/check.h"
#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/bulk_out.cuh"
#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/early_launch.h"

namespace glm::kernels::cuda {
namespace {

constexpr int threads_of(int teams) {
  return (teams * kTeamWarps + kFetchWarps) * device::kWarpThreads;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

template <bool kGated>
__device__ void store_tile(const Product& a, int slab, const TileOut& out, const float (&total)[4],
                           const float (&units)[2]) {
  const int first = slab * (kGated ? kSlabRows / 2 : kSlabRows) + weight_row(lane_index() / 4);
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (out.to[e] == nullptr) continue;
    if (kGated) {
      out.put(a, e, first, out.factor[e] * gated(total[e] * units[0], total[2 + e] * units[1]));
    } else {
      out.put(a, e, first, out.factor[e] * (total[e] * units[0]));
      out.put(a, e, first + kSlabRows / 2, out.factor[e] * (total[2 + e] * units[0]));
    }
  }
}

// What of a slab a team needs to know.
struct SlabWork {
  const std::uint8_t* stage;
  std::uint32_t empty;  // barrier of the stage
  int slab;             // of the expert
  const std::int32_t* rows;
  int count;
};

template <bool kGated, class Codec, int kTiles>
__device__ void work_on_slab(const Product& a, const BulkPlan& plan, const SlabWork& work,
                             const uint4* activations, const TileOut* out, const float (&units)[2],
                             Team& team) {
  float sums[kTiles][4] = {};
  multiply<Codec>(a, plan, work.stage, activations, team.warp, sums);
  __syncwarp();  // all lanes have read the stage
  if (lane_index() == 0) device::barrier_arrive(work.empty);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    float total[4];
    if (!team.add(sums[tile], total)) continue;
    store_tile<kGated>(a, work.slab, out[tile], total, units);
  }
}

#endif

template <bool kGated, class Codec, int kTiles, int kTeams>
__global__ void __launch_bounds__(threads_of(kTeams), 1)
    bulk_kernel(const __grid_constant__ Product a, const __grid_constant__ BulkPlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  constexpr int kWarps = kTeams * kTeamWarps;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  int* ends = reinterpret_cast<int*>(memory + plan.ends_at);
  auto* ids = reinterpret_cast<std::uint16_t*>(memory + plan.ids_at);
  const std::uint32_t full = device::shared_address(memory + plan.barriers_at);
  const std::uint32_t empty = full + 8 * plan.stages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(full + 8 * i, 1);
      device::barrier_set_up(empty + 8 * i, kTeamWarps);
    }
    const std::uint32_t teams = device::shared_address(memory + plan.team_barriers_at);
    for (int i = 0; i < kTeams * kBuffers; ++i) {
      device::barrier_set_up(teams + 8 * i, kTeamWarps - 1);
    }
    device::barriers_are_set_up();
  }
  const bool early = a.row_group == nullptr || a.row_group_early;
  if (!early) device::wait_for_earlier_kernels();
  list_entries(a, kTiles * kTileRows, ends, ids);
  const Share share = share_of_block(ends[a.groups - 1] * plan.slabs);
  if (warp >= kWarps) {
    // Weights depend on nothing.
    fill_stages<kGated, Codec::kParts>(a, plan, share, ends,
                                       device::shared_address(memory + plan.stages_at), full, empty,
                                       warp - kWarps);
    return;
  }
  if (early) device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  auto* activations = reinterpret_cast<uint4*>(memory);
  auto* rows = reinterpret_cast<std::int32_t*>(memory + plan.rows_at);
  const int team_index = warp / kTeamWarps;
  Team team{.warp = warp % kTeamWarps,
            .partial = reinterpret_cast<float4*>(memory + plan.partial_at) +
                       team_index * kBuffers * kBufferSums,
            .barriers =
                device::shared_address(memory + plan.team_barriers_at) + 8 * team_index * kBuffers};
  int at = share.begin + team_index;
  int stage = team_index;
  unsigned parity = 0;
  for (int first = share.begin; first < share.end;) {
    const int entry = first / plan.slabs;
    const int end = min(share.end, (entry + 1) * plan.slabs);
    const int expert = expert_of(entry, ends, static_cast<int>(a.groups));
    const int first_row = (entry - (expert > 0 ? ends[expert - 1] : 0)) * kTiles * kTileRows;
    if (first != share.begin) {
      device::sync_threads(1, kWarps * device::kWarpThreads);  // nobody reads the last rows
    }
    const int count = load_rows<kTiles>(a, expert, first_row, ids, warp, kWarps, rows, activations);
    device::sync_threads(1, kWarps * device::kWarpThreads);  // the rows are there
    const float units[2] = {Codec::unit(device::weight_at(a.weight, expert)),
                            kGated ? Codec::unit(device::weight_at(a.up, expert)) : 1.0F};
    TileOut out[kTiles];
    out[0] = TileOut(a, rows, count);
#pragma unroll
    for (int tile = 1; tile < kTiles; ++tile) {
      out[tile] = TileOut(a, rows + tile * kTileRows, count - tile * kTileRows);
    }
    for (; at < end; at += kTeams) {
      device::barrier_wait(full + 8 * stage, parity);
      const SlabWork work{
          .stage = memory + plan.stages_at + static_cast<unsigned>(stage) * plan.stage,
          .empty = empty + 8 * stage,
          .slab = at - entry * plan.slabs};
      if (kTiles == 1 || count <= kTileRows) {
        work_on_slab<kGated, Codec, 1>(a, plan, work, activations, out, units, team);
      } else {
        work_on_slab<kGated, Codec, kTiles>(a, plan, work, activations, out, units, team);
      }
      stage += kTeams;
      if (stage >= plan.stages) {
        stage -= plan.stages;
        parity ^= 1U;
      }
    }
    first = end;
  }
#else
  __trap();  // built for another device
#endif
}

template <bool kGated, class Codec, int kTiles, int kTeams>
cudaError_t launch(const Product& a, const BulkLimits& limits, cudaStream_t stream) {
  const BulkPlan plan = bulk_plan(a, {.tiles = kTiles, .teams = kTeams}, limits);
  const auto kernel = &bulk_kernel<kGated, Codec, kTiles, kTeams>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(limits.multiprocessors),
                       .threads = threads_of(kTeams),
                       .shared_bytes = plan.total},
                      kernel, stream, a, plan);
}

template <bool kGated, class Codec>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  const BulkLimits limits = bulk_limits();
  const std::optional<BulkSizes> sizes = bulk_sizes(a, limits);
  GLM_CHECK(sizes);
  if (sizes->tiles == 1) {
    return sizes->teams == 4 ? launch<kGated, Codec, 1, 4>(a, limits, stream)
                             : launch<kGated, Codec, 1, 2>(a, limits, stream);
  }
  return sizes->teams == 4 ? launch<kGated, Codec, 2, 4>(a, limits, stream)
                           : launch<kGated, Codec, 2, 2>(a, limits, stream);
}

template <class Codec>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  return a.gated ? launch<true, Codec>(a, stream) : launch<false, Codec>(a, stream);
}

}  // namespace

cudaError_t launch_bulk(const Product& a, cudaStream_t stream) {
  if (is_fast_fp4(a)) return launch<BulkFp4>(a, stream);
  return a.weight.first.zeros != nullptr ? launch<BulkInt4Zeros>(a, stream)
                                         : launch<BulkInt4>(a, stream);
}

}  // namespace glm::kernels::cuda
