// For few rows and weights in bf16 or e4m3 that are more than all multiprocessors can hold, as the
// head of a model or a dense layer's feed-forward half (sm_90a): the time is that of the weights,
// and they pass through shared memory, where the tensor cores read them, without a stop. One thread
// of a block keeps a ring of stages full with copies of boxes, from tile to tile; four warpgroups
// have 64 rows of a tile's weights each and all rows of activations. flow_plan.cc says who has
// which tiles.
//
// A sum runs along the columns in their order, or along parts of them that are added in their
// order, whatever the other rows are.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/flow_codecs.cuh"
#include "kernels/cuda/flow_plan.h"
#include "kernels/cuda/flow_tiles.cuh"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/counters.cuh"
#include "kernels/device/sync_threads.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {
namespace {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <int kRows>
__device__ void store(const Product& a, const FlowPlan& plan, const FlowTile& tile,
                      const float (&sums)[kRows / 2]) {
  const int weight_row = flow_weight_row();
  if (a.gated) {
    // Eight of gate, eight of up; in a tile their outputs follow each other by eights.
    const std::int64_t output = tile.first_output + flow_gated_output(weight_row);
    if (weight_row >= tile.weight_rows || output >= a.outputs) return;
#pragma unroll
    for (int i = 0; i < kRows / 2; ++i) {
      if (i / 2 % 2 != 0 || flow_row_of(i) >= a.rows) continue;
      const float first = sums[i];
      const float second = sums[i + 2];
      const float gate = plan.up_first ? second : first;
      put(a, flow_row_of(i), 0, output, silu(gate) * (plan.up_first ? first : second));
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) {
    const int own = weight_row + i / 2 % 2 * 8;
    const std::int64_t output = static_cast<std::int64_t>(tile.first_output) + own;
    if (flow_row_of(i) < a.rows && own < tile.weight_rows && output < a.outputs) {
      put(a, flow_row_of(i), 0, output, sums[i]);
    }
  }
}

// Blocks with parts of the same outputs' columns leave their sums for each other; each then adds
// up and stores its share of the outputs. All workers.
template <int kRows>
__device__ void add_parts(const Product& a, const FlowPlan& plan, const FlowTile& tile,
                          const float (&sums)[kRows / 2]) {
  const unsigned parts = static_cast<unsigned>(plan.parts);
  const unsigned which = blockIdx.x / parts;
  const unsigned part = blockIdx.x % parts;
  const auto part_sums = [&](unsigned p) {
    return a.split.sums + static_cast<std::size_t>(which * parts + p) * kSplitBlockSums;
  };
  const int weight_row = flow_weight_row();
  float* own_sums = part_sums(part);
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) {
    const int own = weight_row + i / 2 % 2 * 8;
    if (flow_row_of(i) < a.rows && own < tile.weight_rows) {
      __stcg(own_sums + flow_row_of(i) * kFlowPartRows + own, sums[i]);
    }
  }
  device::sync_threads(1, kFlowWorkers);  // all sums of this block are written
  if (threadIdx.x == 0) {
    // Back to zero with the last: the counter is fit for its next use, which begins when this
    // kernel has ended.
    std::uint32_t before = 0;
    asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;\n"
                 : "=r"(before)
                 : "l"(a.split.counts + which), "r"(parts - 1)
                 : "memory");
    for (unsigned looks = 0; before != parts - 1; ++looks) {
      if (device::load_acquire(a.split.counts + which) == 0) break;
      if (looks >= device::kLooksMax) __trap();
    }
  }
  device::sync_threads(1, kFlowWorkers);  // all blocks' are
  const int share = (tile.weight_rows + plan.parts - 1) / plan.parts;
  const int rows = static_cast<int>(a.rows);
  for (int at = static_cast<int>(threadIdx.x); at < rows * share; at += kFlowWorkers) {
    const int row = at / share;
    const int own = static_cast<int>(part) * share + at % share;
    const std::int64_t output = static_cast<std::int64_t>(tile.first_output) + own;
    if (own >= tile.weight_rows || output >= a.outputs) continue;
    float sum = 0;
#pragma unroll 8
    for (unsigned p = 0; p < parts; ++p) {
      sum += __ldcg(part_sums(p) + row * kFlowPartRows + own);
    }
    put(a, row, 0, output, sum);
  }
}

template <class Codec, int kRows>
__device__ void multiply(const Product& a, const FlowPlan& plan, const FlowTile& tile,
                         FlowRing& ring, float (&sums)[kRows / 2]) {
  if constexpr (Codec::kScaled) {
    const int weight_row = flow_weight_row();
    const int own = a.gated ? flow_gated_output(weight_row) : weight_row;
    // Outputs beyond the last have scales that nobody looks at.
    const auto row = [&](int apart) {
      return min(tile.first_output + own + apart, static_cast<int>(a.outputs) - 1);
    };
    const device::Weight& upper = plan.up_first ? a.up.first : a.weight.first;
    const device::Weight& lower = a.gated && !plan.up_first ? a.up.first : a.weight.first;
    const device::Fp8RowScales first(upper, row(0));
    const device::Fp8RowScales second(lower, row(a.gated ? 0 : 8));
    const auto scale = [&](int step) {
      const auto column = static_cast<std::uint32_t>((tile.first_step + step) * Codec::kDepth);
      return float2{first.at(upper, column).value(), second.at(lower, column).value()};
    };
    Codec::template multiply<kRows>(ring, tile.weight_rows, tile.steps, scale, sums);
  } else {
    Codec::template multiply<kRows>(ring, tile.weight_rows, tile.steps, sums);
  }
}

template <class Codec, int kRows>
__device__ void work(const Product& a, const FlowPlan& plan, FlowRing ring) {
  const int tiles = flow_tiles_of_block(plan);
  for (int number = 0; number < tiles; ++number) {
    const FlowTile tile = flow_tile_at(plan, number);
    float sums[kRows / 2] = {};
    multiply<Codec, kRows>(a, plan, tile, ring, sums);
    if (plan.parts > 1) {
      add_parts<kRows>(a, plan, tile, sums);
    } else {
      store<kRows>(a, plan, tile, sums);
    }
  }
}

#endif

template <class Codec, int kRows>
__global__ void __launch_bounds__(kFlowThreads, 1)
    flow_kernel(const __grid_constant__ FlowMaps maps, const __grid_constant__ Product a,
                const __grid_constant__ FlowPlan plan) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const FlowRing ring = flow_ring(plan, unaligned);
  if (threadIdx.x == 0) {
    set_up_ring(ring);
    device::barriers_are_set_up();
  }
  __syncthreads();  // the barriers are set up
  if (threadIdx.x >= kFlowWorkers) {
    if (threadIdx.x == kFlowWorkers) FlowFiller<Codec, kRows>(maps, plan, a.gated, ring).run();
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  work<Codec, kRows>(a, plan, ring);
#else
  __trap();  // built for another device
#endif
}

template <class Codec, int kRows>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  if constexpr (kRows > Codec::kFewestRows) {
    if (a.rows <= kRows / 2) return launch<Codec, kRows / 2>(a, stream);
  }
  const BulkLimits limits = bulk_limits();
  const FlowPlan plan = flow_plan(a, kRows, limits);
  FlowMaps maps;
  if (const cudaError_t code = make_flow_maps(a, plan, kRows, maps); code != cudaSuccess) {
    return code;
  }
  const auto kernel = &flow_kernel<Codec, kRows>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(plan.blocks),
                       .threads = kFlowThreads,
                       .shared_bytes = plan.total},
                      kernel, stream, maps, a, plan);
}

}  // namespace

cudaError_t launch_flow(const Product& a, cudaStream_t stream) {
  return a.weight.first.coding == device::Coding::bf16 ? launch<FlowBf16, kFlowRowsMax>(a, stream)
                                                       : launch<FlowFp8, kFlowRowsMax>(a, stream);
}

}  // namespace glm::kernels::cuda
