// The variant "groups", for four bits with scales that suit it (groups_plan.h) and few rows of many
// experts (sm_90 and later): every weight passes once, as product_bulk.cu has it.
//
// A team of four warps takes a slab, shares out its columns and adds the four sums in their order:
// neither who takes it nor other rows change the bits of a result.
#include <algorithm>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/groups_warps.cuh"
#include "kernels/device/blocks_meet.cuh"

namespace glm::kernels::cuda {
namespace {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

// Of a block, in shared memory: the list of entries (bulk_slabs.cuh).
struct Entries {
  int* ends;
  std::uint16_t* ids;

  __device__ Entries(const GroupsPlan& plan, std::uint8_t* memory)
      : ends(reinterpret_cast<int*>(memory + plan.ends_at)),
        ids(reinterpret_cast<std::uint16_t*>(memory + plan.ids_at)) {}
};

// By a whole block.
__device__ void begin_block(const Product& a, const GroupsPlan& plan, std::uint8_t* memory,
                            const Entries& entries) {
  if (threadIdx.x == 0) set_up_barriers(plan, memory);
  if (a.row_group != nullptr && !a.row_group_early) device::wait_for_earlier_kernels();
  list_entries(a, kTileRows, entries.ends, entries.ids);
}

#endif

template <class Codec>
__global__ void __launch_bounds__(kGroupsThreads, 1)
    groups_kernel(const __grid_constant__ GroupsProduct p,
                  const __grid_constant__ GroupsPlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) std::uint8_t memory[];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const Entries entries(plan, memory);
  begin_block(p.a, plan, memory, entries);
  const Share share = equal_part(entries.ends[p.a.groups - 1] * p.slabs);
  const int team = warp - kGroupsWorkers;
  if (team >= 0 && team < kGroupsFetchers) {
    // Weights depend on nothing.
    GroupsRing ring(plan, memory, team);
    fill_stages(p, share, entries.ends, team, 0, ring);
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (warp < kGroupsWorkers) {
    GroupsWorker<Codec>(plan, memory, entries.ends, warp).work(p, share);
  } else {
    GroupsLoader<Codec>(plan, memory, entries.ends, entries.ids, team - kGroupsFetchers)
        .load(p, share);
  }
#else
  __trap();  // built for another device
#endif
}

// Both halves of experts, with all blocks waiting for each other in between while weights of the
// second half flow in.
template <class Codec>
__global__ void __launch_bounds__(kGroupsThreads, 1)
    halves_kernel(const __grid_constant__ GroupsProduct inner,
                  const __grid_constant__ GroupsProduct outer,
                  const __grid_constant__ GroupsPlan plan, std::uint32_t* meeting) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) std::uint8_t memory[];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const Entries entries(plan, memory);
  begin_block(inner.a, plan, memory, entries);
  const OnceBarriers once(plan, memory);
  const int count = entries.ends[inner.a.groups - 1];
  const Share first = equal_part(count * inner.slabs);
  const Share second = equal_part(count * outer.slabs);
  const int team = warp - kGroupsWorkers;
  if (team >= 0 && team < kGroupsFetchers) {
    GroupsRing ring(plan, memory, team);
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      fill_stages(half == 0 ? inner : outer, half == 0 ? first : second, entries.ends, team,
                  half == 0 ? once.first_rows : 0, ring);
    }
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (warp < kGroupsWorkers) {
    GroupsWorker<Codec> worker(plan, memory, entries.ends, warp);
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      worker.work(half == 0 ? inner : outer, half == 0 ? first : second);
      __syncwarp();  // all lanes have stored
      if (half == 0 && lane_index() == 0) device::barrier_arrive(once.inner_done);
    }
    return;
  }
  GroupsLoader<Codec> loader(plan, memory, entries.ends, entries.ids, team - kGroupsFetchers);
#pragma unroll 1
  for (int half = 0; half < 2; ++half) {
    loader.load(half == 0 ? inner : outer, half == 0 ? first : second);
    if (half == 1) return;
    device::barrier_wait(once.inner_done, 0);
    if (team == kGroupsFetchers) {
      if (lane_index() == 0) device::blocks_meet(meeting);
      __syncwarp();
    }
    device::sync_threads(1, kGroupsLoaders * device::kWarpThreads);  // what is between can be read
  }
#else
  __trap();  // built for another device
#endif
}

cudaError_t allow(const void* kernel, unsigned shared_bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(shared_bytes));
}

EarlyLaunch shape_of(const GroupsPlan& plan, const BulkLimits& limits) {
  return {.grid = static_cast<unsigned>(limits.multiprocessors),
          .threads = kGroupsThreads,
          .shared_bytes = plan.total};
}

template <class Codec>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  const BulkLimits limits = bulk_limits();
  const GroupsPlan plan = groups_plan(a, a.inputs, limits);
  GroupsProduct p;
  cudaError_t code = make_groups_product(a, p);
  const auto kernel = &groups_kernel<Codec>;
  if (code == cudaSuccess) code = allow(reinterpret_cast<const void*>(kernel), plan.total);
  return code == cudaSuccess ? launch_early(shape_of(plan, limits), kernel, stream, p, plan) : code;
}

template <class Codec>
cudaError_t launch_both(const Product& inner, const Product& outer, std::uint32_t* meeting,
                        cudaStream_t stream) {
  const BulkLimits limits = bulk_limits();
  const GroupsPlan plan = groups_plan(inner, std::max(inner.inputs, outer.inputs), limits);
  GroupsProduct first;
  GroupsProduct second;
  cudaError_t code = make_groups_product(inner, first);
  if (code == cudaSuccess) code = make_groups_product(outer, second);
  const auto kernel = &halves_kernel<Codec>;
  if (code == cudaSuccess) code = allow(reinterpret_cast<const void*>(kernel), plan.total);
  return code == cudaSuccess
             ? launch_early(shape_of(plan, limits), kernel, stream, first, second, plan, meeting)
             : code;
}

}  // namespace

cudaError_t launch_groups(const Product& a, cudaStream_t stream) {
  return is_fast_fp4(a) ? launch<GroupsFp4>(a, stream) : launch<GroupsInt4>(a, stream);
}

cudaError_t launch_halves(const Product& inner, const Product& outer, std::uint32_t* meeting,
                          cudaStream_t stream) {
  return is_fast_fp4(inner) ? launch_both<GroupsFp4>(inner, outer, meeting, stream)
                            : launch_both<GroupsInt4>(inner, outer, meeting, stream);
}

}  // namespace glm::kernels::cuda
