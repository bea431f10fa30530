// The variant "groups", for four bits and e4m3 with scales that suit it (groups_plan.h) and few
// rows of many experts (sm_90 and later): every weight passes once for up to eight rows of its
// expert, as product_bulk.cu has it.
//
// With both halves of experts in one launch it may also end the expert of all tokens, while its
// first weights are under way (groups_shared.cuh).
//
// A team of four warps takes a slab and shares out its columns, and a fifth one adds the four sums
// in their order: neither who takes it nor other rows change the bits of a result.
#include <algorithm>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/groups_entries.cuh"
#include "kernels/cuda/groups_shared.cuh"
#include "kernels/cuda/groups_warps.cuh"
#include "kernels/cuda/groups_workers.cuh"
#include "kernels/device/blocks_meet.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {
namespace {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

// Registers of a warp, by what it does: together as many as all begin with. Fetchers, loaders and
// finishers are a warpgroup each.
constexpr unsigned kBeginRegisters = 72;
constexpr unsigned kWorkerRegisters = 80;
constexpr unsigned kFetcherRegisters = 32;
constexpr unsigned kLoaderRegisters = 80;
constexpr unsigned kFinisherRegisters = 72;
static_assert(kGroupsWorkers * kWorkerRegisters + kGroupsFetchers * kFetcherRegisters +
                  kGroupsLoaders * kLoaderRegisters + kGroupsFinishers * kFinisherRegisters <=
              kGroupsThreads / device::kWarpThreads * kBeginRegisters);

template <unsigned kRegisters>
__device__ void have_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  if constexpr (kRegisters > kBeginRegisters) {
    device::take_registers<kRegisters>();
  } else {
    device::give_up_registers<kRegisters>();
  }
#endif
}

// Warps in their order.
constexpr int kFirstFetcher = kGroupsWorkers;
constexpr int kFirstLoader = kFirstFetcher + kGroupsFetchers;
constexpr int kFirstFinisher = kFirstLoader + kGroupsLoaders;

constexpr int kLastWarp = kGroupsThreads / device::kWarpThreads - 1;

// By a whole block; meetings are null where there is but one half.
__device__ void begin_block(const GroupsProduct& inner, const GroupsProduct& outer,
                            const GroupsPlan& plan, std::uint8_t* memory,
                            const GroupsEntries& entries, const std::uint32_t* meetings) {
  const Product& a = inner.a;
  entries.list(
      a,
      [&] {
        const auto warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
        if (lane_index() == 0) set_up_barriers(plan, memory, warp);
        if (!a.row_group_early) device::wait_for_earlier_kernels();
        if (warp == kLastWarp && meetings != nullptr && lane_index() < kLots) {
          Once(plan, memory).before[lane_index()] = __ldcg(meetings + lane_index());
        }
      },
      [&](int count) { GroupsShares(plan, memory).note(count, inner.slabs, outer.slabs); });
}

// Otherwise the first copy would have to wait for them.
template <class Codec>
__device__ void prefetch_maps(const GroupsMaps& maps) {
  if (lane_index() < Codec::kMaps) device::prefetch_map(maps.of[lane_index()]);
}

#endif

template <class Codec>
__global__ void __launch_bounds__(kGroupsThreads, 1)
    groups_kernel(const __grid_constant__ GroupsProduct p,
                  const __grid_constant__ GroupsPlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) std::uint8_t memory[];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const GroupsEntries entries(plan, memory);
  begin_block(p, p, plan, memory, entries, nullptr);
  const GroupsShares shares(plan, memory);
  if (warp >= kFirstFetcher && warp < kFirstLoader) {
    // Weights depend on nothing.
    have_registers<kFetcherRegisters>();
    GroupsRing ring(plan, memory, warp - kFirstFetcher);
    std::uint32_t first_rows = 0;
#pragma unroll 1
    for (int lot = 0; lot < kLots; ++lot) {
      fill_stages<Codec>(p, shares.of[lot], entries.ends, warp - kFirstFetcher, first_rows, ring);
    }
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (warp < kGroupsWorkers) {
    have_registers<kWorkerRegisters>();
    GroupsWorker<Codec> worker(plan, memory, entries.ends, warp);
#pragma unroll 1
    for (int lot = 0; lot < kLots; ++lot) worker.work(p, shares.of[lot]);
  } else if (warp < kFirstFinisher) {
    have_registers<kLoaderRegisters>();
    GroupsLoader<Codec> loader(plan, memory, entries, warp - kFirstLoader);
    loader.sort_rows(p.a);
#pragma unroll 1
    for (int lot = 0; lot < kLots; ++lot) loader.load(p, shares.of[lot]);
  } else {
    have_registers<kFinisherRegisters>();
    GroupsFinisher<Codec> finisher(plan, memory, entries.ends, warp - kFirstFinisher);
#pragma unroll 1
    for (int lot = 0; lot < kLots; ++lot) finisher.work(p, shares.of[lot]);
  }
#else
  __trap();  // built for another device
#endif
}

// Both halves of experts. Before the second half of a lot a block waits until all have stored the
// first, which they mostly have. `kShared`: and, at its beginning, what is left of the expert of
// all tokens; a kernel of its own, for elsewhere the code alone would cost 0.7 % of a step.
template <class Codec, bool kShared>
__global__ void __launch_bounds__(kGroupsThreads, 1)
    halves_kernel(const __grid_constant__ GroupsProduct inner,
                  const __grid_constant__ GroupsProduct outer,
                  const __grid_constant__ GroupsShared shared,
                  const __grid_constant__ GroupsPlan plan, std::uint32_t* meetings) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(1024) std::uint8_t memory[];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  if (warp == kFirstFetcher) prefetch_maps<Codec>(inner.maps);
  if (warp == kFirstFetcher + 1) prefetch_maps<Codec>(outer.maps);
  const GroupsEntries entries(plan, memory);
  begin_block(inner, outer, plan, memory, entries, meetings);
  const Once once(plan, memory);
  const GroupsShares shares(plan, memory);
  const auto product = [&](int turn) -> const GroupsProduct& {
    return turn < kLots ? inner : outer;
  };
  if (warp >= kFirstFetcher && warp < kFirstLoader) {
    have_registers<kFetcherRegisters>();
    GroupsRing ring(plan, memory, warp - kFirstFetcher);
    std::uint32_t first_rows = once.first_rows;
#pragma unroll 1
    for (int turn = 0; turn < 2 * kLots; ++turn) {
      fill_stages<Codec>(product(turn), shares.of[turn], entries.ends, warp - kFirstFetcher,
                         first_rows, ring);
    }
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (warp < kGroupsWorkers) {
    have_registers<kWorkerRegisters>();
    if constexpr (kShared) end_shared_expert<typename Codec::SharedOctet>(shared, plan, memory);
    GroupsWorker<Codec> worker(plan, memory, entries.ends, warp);
#pragma unroll 1
    for (int turn = 0; turn < 2 * kLots; ++turn) {
      worker.work(product(turn), shares.of[turn]);
    }
  } else if (warp < kFirstFinisher) {
    have_registers<kLoaderRegisters>();
    GroupsLoader<Codec> loader(plan, memory, entries, warp - kFirstLoader);
    loader.sort_rows(inner.a);
#pragma unroll 1
    for (int turn = 0; turn < 2 * kLots; ++turn) {
      if (turn >= kLots) {
        const int lot = turn - kLots;
        if (lane_index() == 0) device::wait_for_meeting(meetings + lot, once.before[lot]);
        __syncwarp();  // what is between can be read
      }
      loader.load(product(turn), shares.of[turn]);
    }
  } else {
    have_registers<kFinisherRegisters>();
    GroupsFinisher<Codec> finisher(plan, memory, entries.ends, warp - kFirstFinisher);
#pragma unroll 1
    for (int turn = 0; turn < 2 * kLots; ++turn) {
      finisher.work(product(turn), shares.of[turn]);
      if (turn >= kLots) continue;
      __syncwarp();  // all lanes have stored
      if (lane_index() == 0 && once.all_have_stored(turn)) device::come_to_meeting(meetings + turn);
    }
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
cudaError_t launch_both(const Product& inner, const Product& outer, const GroupsShared& shared,
                        std::uint32_t* meetings, cudaStream_t stream) {
  const BulkLimits limits = bulk_limits();
  const GroupsPlan plan = groups_plan(inner, std::max(inner.inputs, outer.inputs), limits);
  GroupsProduct first;
  GroupsProduct second;
  cudaError_t code = make_groups_product(inner, first);
  if (code == cudaSuccess) code = make_groups_product(outer, second);
  const auto kernel =
      shared.tokens > 0 ? &halves_kernel<Codec, true> : &halves_kernel<Codec, false>;
  if (code == cudaSuccess) code = allow(reinterpret_cast<const void*>(kernel), plan.total);
  return code == cudaSuccess ? launch_early(shape_of(plan, limits), kernel, stream, first, second,
                                            shared, plan, meetings)
                             : code;
}

}  // namespace

cudaError_t launch_groups(const Product& a, cudaStream_t stream) {
  if (is_fast_fp8(a)) return launch<GroupsFp8>(a, stream);
  return is_fast_fp4(a) ? launch<GroupsFp4>(a, stream) : launch<GroupsInt4>(a, stream);
}

cudaError_t launch_halves(const Product& inner, const Product& outer, const GroupsShared& shared,
                          std::uint32_t* meetings, cudaStream_t stream) {
  if (is_fast_fp8(inner)) return launch_both<GroupsFp8>(inner, outer, shared, meetings, stream);
  return is_fast_fp4(inner) ? launch_both<GroupsFp4>(inner, outer, shared, meetings, stream)
                            : launch_both<GroupsInt4>(inner, outer, shared, meetings, stream);
}

}  // namespace glm::kernels::cuda
