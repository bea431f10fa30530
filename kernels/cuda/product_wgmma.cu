// For many rows, on Hopper (sm_90a): weights are the left side of warpgroup products, decoded in
// registers, and rows of activations the right side.
//
// Each block goes from tile to tile. A warp, or two, keeps a ring of stages full by tensor maps,
// also across tiles (wgmma_fill.cuh), and where scales are not copied three warps lay them in the
// form that is decoded fastest; two to four warpgroups have 64 rows of weights each and multiply.
// One that multiplies is held up until its last product begins, so others decode meanwhile. Gated,
// each has rows of gate in the upper half of a product and the same ones of up in the lower, so
// that both of an output meet in one lane. A tile computes about as many columns as it has rows of
// activations. A result is the sum over columns of weights in one order, whatever the tile: theirs,
// or that in which they are dealt. But linear layers of few tiles have clusters of blocks for each,
// which share out the columns (wgmma_cluster.cuh).
#include "base/check.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/wgmma_cluster.cuh"
#include "kernels/cuda/wgmma_codecs.cuh"
#include "kernels/cuda/wgmma_fill.cuh"
#include "kernels/cuda/wgmma_maps.h"
#include "kernels/cuda/wgmma_plan.h"
#include "kernels/cuda/wgmma_results.cuh"
#include "kernels/cuda/wgmma_stages.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/tensor_copy.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {
namespace {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Of a thread. For all warpgroups together no more than there were when the kernel began: 3 times
// 128, 4 times 128 or 5 times 96. The first leave room for small kernels on the multiprocessor.
template <int kGroups>
constexpr unsigned kCopyRegisters = kGroups == 2 ? 56 : 32;
template <int kGroups>
constexpr unsigned kWorkRegisters = kGroups == 4 ? 112 : 160;
template <int kColumns>
using Sums = float[kColumns / 2];

// How many times 32 columns are decoded at a time: many rows leave no registers for more.
template <int kGroups, int kColumns>
constexpr int kParts = kGroups == 2 || kColumns <= 80 ? 2 : 1;

// Starts sums += a * 32 * kCount columns of activations, for kColumns rows of them.
template <int kColumns, int kCount>
__device__ __forceinline__ void start_products(const LeftSide (&a)[kCount], std::uint64_t x,
                                               Sums<kColumns>& sums) {
  device::warpgroup_begin();
#pragma unroll
  for (unsigned i = 0; i < 2 * kCount; ++i) {
    device::multiply_64<kColumns>(sums, a[i / 2][i % 2], x + 2 * i);
  }
  device::warpgroup_commit();
}

// Of the rows of weights of a stage, where a warp has 8 of gate and as many of up, or 16.
template <int kGroups>
__device__ __forceinline__ unsigned first_row_of_warp(const Product& a) {
  const unsigned warp = threadIdx.x / device::kWarpThreads;
  if (!a.gated) return 16 * warp;
  // A slice of outputs that are dealt for each warpgroup, of which all four are in the stage.
  return a.out_dealt && !kMaySlice<kGroups> ? 32 * (warp % 4) + 8 * (warp / 4) : 8 * warp;
}

// The whole sum of a tile, by one of the warpgroups that multiply.
template <class Codec, int kGroups, int kColumns>
__device__ __forceinline__ void multiply(const Product& a, const WgmmaPlan& plan,
                                         const Shared& shared, Ring& ring, Sums<kColumns>& sums) {
  constexpr unsigned kRows = kGroups * kWgmmaGroupRows;
  constexpr int kCount = kParts<kGroups, kColumns>;
  constexpr int kPieces = Codec::kDepth / (32 * kCount);
  constexpr int kStages = 128 / Codec::kDepth;  // at once: an even number of pieces, in turns
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % device::kWarpThreads;
  // From one row of a lane to the other.
  const unsigned apart = a.gated ? kRows / 2 : 8;
  const unsigned first_row = first_row_of_warp<kGroups>(a) + static_cast<unsigned>(lane) / 4;
  const std::uint32_t memory = device::shared_address(shared.memory);
  const std::uint32_t data = memory + plan.weights_at + first_row * Codec::kRowBytes;
  const std::uint32_t scales =
      memory + (Codec::kCopied ? plan.copied_at : plan.scales_at) + first_row * kWgmmaScaleBytes;
  const auto scales_of = [&](int stage) {
    const auto at = static_cast<unsigned>(stage);
    return Codec::kCopied ? scales + at / 2 * kCopiedSlot<kGroups> + at % 2 * kWgmmaCopiedBytes
                          : scales + at * plan.stage;
  };
  const auto release = [&](int stage) {
    if (lane == 0) device::barrier_arrive(shared.empty + 8U * static_cast<unsigned>(stage));
  };
  LeftSide left[2][kCount];
  constexpr int kStored = Codec::kWholeStages ? 1 : kCount;
  typename Codec::Stored stored[kStored];
  const auto read = [&](int stage, int piece) {
    if (Codec::kWholeStages && piece > 0) return;
#pragma unroll
    for (int part = 0; part < kStored; ++part) {
      stored[part] = Codec::read({.data = data + static_cast<unsigned>(stage) * plan.stage,
                                  .data_apart = apart * Codec::kRowBytes,
                                  .scales = scales_of(stage),
                                  .scales_apart = apart * kWgmmaScaleBytes,
                                  .at = static_cast<unsigned>(piece * kCount + part)},
                                 lane);
    }
  };
  const auto read_first = [&] {
    device::barrier_wait(shared.full + 8U * static_cast<unsigned>(ring.stage), ring.parity);
    read(ring.stage, 0);
  };
  int before = 0;
  read_first();
#pragma unroll 1
  for (int step = 0; step < plan.steps; step += kStages) {
#pragma unroll
    for (int next = 0; next < kStages; ++next) {
      const std::uint32_t stage = static_cast<unsigned>(ring.stage) * plan.stage;
      const int own_stage = ring.stage;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        LeftSide(&own)[kCount] = left[(next * kPieces + piece) % 2];
#pragma unroll
        for (int part = 0; part < kCount; ++part) {
          const auto at = static_cast<unsigned>(piece * kCount + part);
          Codec::decode(stored[part % kStored], at, lane, own[part]);
        }
        const int block = piece * kCount / 2;  // of 64 columns
        const std::uint32_t x =
            memory + stage + static_cast<unsigned>(block * plan.tile_rows) * kWgmmaRowBytes;
        start_products<kColumns, kCount>(own, device::right_side(x) + 4 * (piece * kCount % 2),
                                         sums);
        // What comes next is read while these begin.
        if (piece + 1 < kPieces) {
          read(own_stage, piece + 1);
        } else {
          ring.advance();
          if (step + next + 1 < plan.steps) read_first();
        }
        device::warpgroup_wait<1>();  // those before have ended
        if (piece == 0 && step + next > 0) release(before);
      }
      before = own_stage;
    }
  }
  device::warpgroup_wait<0>();
  release(before);
  device::hold(sums);
}

// For up to kColumns rows of activations.
template <class Codec, int kGroups, bool kCluster, int kColumns>
__device__ __forceinline__ void work_on(const Product& a, const WgmmaPlan& plan,
                                        const Shared& shared, const Tile& tile, Ring& ring,
                                        Results& results) {
  Sums<kColumns> sums = {};
  multiply<Codec, kGroups, kColumns>(a, plan, shared, ring, sums);
  const std::int64_t expert = a.row_group != nullptr ? tile.rows.group : 0;
  const float unit = Codec::unit(device::weight_at(a.weight, expert));
  const float up_unit = a.gated ? Codec::unit(device::weight_at(a.up, expert)) : 1.0F;
  const int first_output =
      (tile.m_block * kGroups + results.group) * (a.gated ? kWgmmaGroupRows / 2 : kWgmmaGroupRows);
  const auto store = [&](const Tile& part, int first_row, const float(&own)[16]) {
    const Place place{.first_output = first_output, .first_row = first_row};
    if (plan.whole_octets) {
      store_octets(a, part, place, own, unit, up_unit, results);
    } else {
      store_any(a, part, place, own, unit, up_unit, results);
    }
  };
  if constexpr (kCluster) {
    const ClusterSums<kGroups, kColumns> all(plan, shared);
    all.exchange(sums);
    const Tile part = all.part_of(tile);
#pragma unroll 1
    for (int row = 0; row < part.rows.count; row += kWgmmaBlockRows) {
      float own[16];
      all.add_up(row / 8, own);
      store(part, row, own);
    }
  } else {
#pragma unroll
    for (int part = 0; part * kWgmmaBlockRows < kColumns; ++part) {
      float own[16];
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        const int at = 16 * part + i;
        own[i] = at < kColumns / 2 ? sums[at % (kColumns / 2)] : 0.0F;
      }
      store(tile, part * kWgmmaBlockRows, own);
    }
  }
}

// kColumns: what products there are for, the fewest rows first.
template <class Codec, int kGroups, bool kCluster, int... kColumns>
__device__ __forceinline__ void work(const Product& a, const WgmmaPlan& plan,
                                     const Shared& shared) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  Results results{
      .floats = reinterpret_cast<float*>(shared.memory + plan.results_at +
                                         static_cast<unsigned>(group) * kWgmmaResultBytes),
      .group = group,
      .whole_fours = plan.whole_fours};
  Ring ring{plan.stages};
  const int tiles = tiles_of(a, plan);
  int slot = 0;
  for (int index = first_tile<kCluster>(plan); index < tiles;
       index = next_tile<kCluster>(plan, index)) {
    device::barrier_wait(shared.full + 8U * static_cast<unsigned>(ring.stage), ring.parity);
    const Tile tile = staged_tile(plan, shared, slot);
    slot = (slot + 1) % kWgmmaTileSlots;
    const auto on = [&]<int kRows>() {
      if (tile.rows.count > kRows) return false;
      work_on<Codec, kGroups, kCluster, kRows>(a, plan, shared, tile, ring, results);
      return true;
    };
    (void)(on.template operator()<kColumns>() || ...);
  }
}

#endif

// Those that copy are a warpgroup as well, so that they can give up registers.
template <int kGroups>
constexpr int kThreads = (kGroups + 1) * kGroupThreads;
// For the compiler, which gives a thread as many registers as so many leave it.
template <int kGroups>
constexpr int kThreadsMax = kGroups == 4 ? 640 : 512;

template <class Codec, int kGroups, bool kCluster, int... kColumns>
__global__ void __launch_bounds__(kThreadsMax<kGroups>, 1)
    wgmma_kernel(const __grid_constant__ Product a, const __grid_constant__ WgmmaPlan plan,
                 const __grid_constant__ WgmmaMaps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const std::uint32_t address = device::shared_address(unaligned);
  std::uint8_t* memory = unaligned + ((address + 1023U) / 1024U * 1024U - address);
  const Shared shared{.memory = memory,
                      .full = device::shared_address(memory + plan.barriers_at),
                      .empty = device::shared_address(memory + plan.barriers_at) +
                               8U * static_cast<unsigned>(plan.stages),
                      .tiles = device::shared_address(memory + plan.tiles_at)};
  if (threadIdx.x == 0) {
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(shared.full + 8U * static_cast<unsigned>(i),
                             Codec::kScales ? 1 + kWgmmaScaleWarps : 1);
      device::barrier_set_up(shared.empty + 8U * static_cast<unsigned>(i),
                             kGroups * kGroupThreads / device::kWarpThreads);
    }
    device::barriers_are_set_up();
    device::prefetch_map(maps.x);
    device::prefetch_map(maps.weight);
    device::prefetch_map(maps.up);
  }
  __syncthreads();  // the barriers are set up
  device::wait_for_earlier_kernels();
  constexpr int kWorkThreads = kGroups * kGroupThreads;
  if (threadIdx.x >= kWorkThreads) {
    device::give_up_registers<kCopyRegisters<kGroups>>();
    constexpr int kScaleThreads = kWorkThreads + device::kWarpThreads;
    const int thread = static_cast<int>(threadIdx.x) - kScaleThreads;
    if (thread < 0) {
      constexpr Fills kFills = Codec::kCopied ? Fills::weights : Fills::all;
      StageFiller<Codec, kGroups, kFills, kCluster>(a, plan, maps, shared).fill_all();
    } else if constexpr (Codec::kCopied) {
      if (thread < device::kWarpThreads) {
        StageFiller<Codec, kGroups, Fills::rows, kCluster>(a, plan, maps, shared).fill_all();
      }
    } else if constexpr (Codec::kScales) {
      lay_scales<Codec::kScaled, kGroups * kWgmmaGroupRows, kCluster>(a, plan, shared, thread);
    }
  } else {
    device::take_registers<kWorkRegisters<kGroups>>();
    work<Codec, kGroups, kCluster, kColumns...>(a, plan, shared);
  }
#else
  __trap();  // built for another device
#endif
}

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  if (cudaGetDevice(&device) == cudaSuccess) (void)cudaDeviceGetAttribute(&value, which, device);
  return value;
}

template <class Codec, int kGroups, bool kCluster, int... kColumns>
cudaError_t launch(const Product& a, const WgmmaTile& tile, int multiprocessors,
                   cudaStream_t stream) {
  constexpr WgmmaStage kStage = {.depth = Codec::kDepth,
                                 .row_bytes = Codec::kRowBytes,
                                 .element_bytes = Codec::kElementBytes,
                                 .scales = Codec::kScales,
                                 .copied = Codec::kCopied};
  const WgmmaPlan plan = wgmma_plan(
      a, tile, kStage, static_cast<unsigned>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)));
  GLM_CHECK(plan.stages > 2);  // one that runs, the one before, and the next
  GLM_CHECK(!a.out_dealt || (a.gated && plan.whole_octets && a.outputs % 128 == 0));
  WgmmaMaps maps = {};
  if (const cudaError_t code = make_wgmma_maps(a, plan, kStage, maps); code != cudaSuccess) {
    return code;
  }
  const auto kernel = &wgmma_kernel<Codec, kGroups, kCluster, kColumns...>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  const std::int64_t row_tiles = a.row_group != nullptr ? a.tiles_max : a.groups * plan.row_tiles;
  const std::int64_t tiles = row_tiles * plan.m_blocks;
  if constexpr (kCluster) {
    // Sums come to where stages were, and would be where those of a next tile are filled: there is
    // a cluster for each tile.
    GLM_CHECK(plan.results_at >= static_cast<unsigned>(kGroups * kWgmmaGroupRows * tile.rows) * 4);
    return launch_early({.grid = static_cast<unsigned>(tiles * plan.blocks),
                         .threads = kThreads<kGroups>,
                         .shared_bytes = plan.total,
                         .cluster = static_cast<unsigned>(plan.blocks)},
                        kernel, stream, a, plan, maps);
  }
  return launch_early(
      {.grid = static_cast<unsigned>(tiles < multiprocessors ? tiles : multiprocessors),
       .threads = kThreads<kGroups>,
       .shared_bytes = plan.total},
      kernel, stream, a, plan, maps);
}

// Of a linear product, of rows that belong to experts, and of few of those with scales that may be
// copied.
template <class Linear, class Experts, class Few>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  const int multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
  const WgmmaTile tile = wgmma_tile(a, multiprocessors);
  GLM_CHECK(a.x_dealt == wants_dealt(a));
  if (a.row_group != nullptr) {
    const auto with = [&]<int kGroups, int... kColumns>() {
      return launch<Experts, kGroups, false, kColumns...>(a, tile, multiprocessors, stream);
    };
    if (Few::kCopied && tile.groups == 4 && may_copy_scales(a)) {
      return launch<Few, 4, false, kWgmmaRowsFewest, kWgmmaRowsFew>(a, tile, multiprocessors,
                                                                    stream);
    }
    // With more sizes in one kernel the compiler waits for every product.
    return tile.groups == 4 ? with.template operator()<4, kWgmmaRowsFewest, kWgmmaRowsFew>()
                            : with.template operator()<3, 80, 128, 144, kWgmmaRowsMax>();
  }
  const auto with = [&]<int kGroups, bool kCluster, int kColumns>() {
    return launch<Linear, kGroups, kCluster, kColumns>(a, tile, multiprocessors, stream);
  };
  if (tile.groups == 4) {
    return tile.rows == 96 ? with.template operator()<4, false, 96>()
                           : with.template operator()<4, false, 128>();
  }
  if (tile.blocks > 1) {
    return tile.rows == 64 ? with.template operator()<2, true, 64>()
                           : with.template operator()<2, true, 128>();
  }
  return tile.rows == 64 ? with.template operator()<2, false, 64>()
                         : with.template operator()<2, false, 128>();
}

}  // namespace

std::int64_t wgmma_tile_rows(const Product& a) {
  return wgmma_tile(a, attribute(cudaDevAttrMultiProcessorCount)).rows;
}

bool wants_dealt(const Product& a) {
  return a.row_group != nullptr && (is_fast_int4(a) || is_half_int4(a) || is_fast_fp4(a));
}

cudaError_t launch_wgmma(const Product& a, cudaStream_t stream) {
  const auto four_bits = [&]<class Pairs, bool kMayCopy>() {
    return launch<WgmmaPlain<Pairs>, WgmmaDealt<Pairs>, WgmmaDealt<Pairs, kMayCopy>>(a, stream);
  };
  if (is_fast_int4(a)) {
    return a.weight.first.zeros == nullptr ? four_bits.template operator()<Int4Pairs, true>()
                                           : four_bits.template operator()<Int4ZeroPairs, false>();
  }
  if (is_half_int4(a)) return four_bits.template operator()<Int4HalfPairs, false>();
  if (is_fast_fp4(a)) return four_bits.template operator()<Fp4Pairs, true>();
  return is_fast_fp8(a) ? launch<WgmmaFp8, WgmmaFp8, WgmmaFp8>(a, stream)
                        : launch<WgmmaBf16, WgmmaBf16, WgmmaBf16>(a, stream);
}

}  // namespace glm::kernels::cuda
