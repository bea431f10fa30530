// For few rows and very many outputs in bf16, the head of a model (sm_90a): the time is that of the
// weights, and they pass through shared memory, where the tensor cores read them, without a stop.
// One thread of a block keeps a ring of stages full with copies of boxes, from tile to tile; four
// warpgroups have 64 outputs of a tile each and all rows.
//
// A sum runs along the columns in their order, whatever the other rows are.
#include <algorithm>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/tensor_copy.cuh"
#include "kernels/device/wgmma.cuh"
#include "kernels/device/wgmma_shared.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kGroups = 4;
constexpr int kGroupOutputs = 64;
constexpr int kOutputs = kGroups * kGroupOutputs;
constexpr int kDepth = 64;  // columns of a stage
constexpr int kGroupThreads = 128;
constexpr int kThreads = kGroups * kGroupThreads + device::kWarpThreads;
constexpr int kRowsMax = 64;
constexpr unsigned kWeightBytes = kOutputs * kDepth * 2;
constexpr unsigned kAlignment = 1024;  // of stages
constexpr unsigned kBarrierBytes = 256;

struct FlowPlan {
  int tiles;
  int steps;  // of a tile
  int stages;
  unsigned total;  // bytes of shared memory
};

// A matrix in memory, and how many of its rows are copied at a time.
struct Box {
  std::int64_t columns;
  std::int64_t rows;
  unsigned rows_at_once;
};

template <int kRows>
constexpr unsigned kStageBytes = kWeightBytes + kRows* kDepth * 2U;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct Ring {
  std::uint32_t memory;
  std::uint32_t full;
  std::uint32_t empty;
  int stages;
  int stage = 0;
  unsigned parity = 0;
  __device__ void next() {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1U;
    }
  }
};

template <int kRows>
__device__ void fill(const CUtensorMap& weights, const CUtensorMap& rows, const FlowPlan& plan,
                     Ring ring) {
  const auto own_tiles =
      (plan.tiles - static_cast<int>(blockIdx.x) + static_cast<int>(gridDim.x) - 1) /
      static_cast<int>(gridDim.x);
  const int all = own_tiles * plan.steps;
  const auto copy_weights = [&](int at, int stage) {
    const int tile = static_cast<int>(blockIdx.x) + at / plan.steps * static_cast<int>(gridDim.x);
    device::barrier_arrive_expecting(ring.full + 8 * stage, kStageBytes<kRows>);
    device::copy_box(ring.memory + static_cast<unsigned>(stage) * kStageBytes<kRows>, weights,
                     {.column = at % plan.steps * kDepth, .middle = tile * kOutputs, .outer = 0},
                     ring.full + 8 * stage);
  };
  const auto copy_rows = [&](int at, int stage) {
    device::copy_box(ring.memory + static_cast<unsigned>(stage) * kStageBytes<kRows> + kWeightBytes,
                     rows, {.column = at % plan.steps * kDepth, .middle = 0, .outer = 0},
                     ring.full + 8 * stage);
  };
  const int early = min(all, plan.stages);
  for (int at = 0; at < early; ++at) copy_weights(at, at);  // they depend on nothing
  device::wait_for_earlier_kernels();
  for (int at = 0; at < early; ++at) copy_rows(at, at);
  int stage = 0;
  unsigned parity = 0;
  for (int at = early; at < all; ++at) {
    device::barrier_wait(ring.empty + 8 * stage, parity);
    copy_weights(at, stage);
    copy_rows(at, stage);
    if (++stage == plan.stages) {
      stage = 0;
      parity ^= 1U;
    }
  }
}

template <int kRows>
__device__ void work(const Product& a, const FlowPlan& plan, Ring ring) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int own_output = group * kGroupOutputs +
                         static_cast<int>(threadIdx.x) % kGroupThreads / device::kWarpThreads * 16 +
                         lane / 4;
  for (int tile = static_cast<int>(blockIdx.x); tile < plan.tiles;
       tile += static_cast<int>(gridDim.x)) {
    float sums[kRows / 2] = {};
    for (int step = 0; step < plan.steps; ++step) {
      device::barrier_wait(ring.full + 8 * ring.stage, ring.parity);
      const std::uint32_t stage =
          ring.memory + static_cast<unsigned>(ring.stage) * kStageBytes<kRows>;
      const std::uint64_t left =
          device::right_side(stage + static_cast<unsigned>(group) * (kGroupOutputs * kDepth * 2));
      const std::uint64_t right = device::right_side(stage + kWeightBytes);
      device::hold(sums);
      device::warpgroup_begin();
#pragma unroll
      for (int i = 0; i < kDepth / 16; ++i) {
        device::multiply_shared<kRows>(sums, left + 2 * i, right + 2 * i);
      }
      device::warpgroup_commit();
      device::warpgroup_wait<0>();
      device::hold(sums);
      if (lane == 0) device::barrier_arrive(ring.empty + 8 * ring.stage);
      ring.next();
    }
#pragma unroll
    for (int i = 0; i < kRows / 2; ++i) {
      const int row = i / 4 * 8 + 2 * (lane % 4) + i % 2;
      const std::int64_t output =
          static_cast<std::int64_t>(tile) * kOutputs + own_output + i / 2 % 2 * 8;
      if (row < a.rows && output < a.outputs) put(a, row, 0, output, sums[i]);
    }
  }
}

#endif

template <int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    flow_kernel(const __grid_constant__ CUtensorMap weights,
                const __grid_constant__ CUtensorMap rows, const __grid_constant__ Product a,
                const __grid_constant__ FlowPlan plan) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const std::uint32_t address = device::shared_address(unaligned);
  const std::uint32_t memory = (address + kAlignment - 1) / kAlignment * kAlignment;
  const std::uint32_t barriers = memory + static_cast<unsigned>(plan.stages) * kStageBytes<kRows>;
  const Ring ring{.memory = memory,
                  .full = barriers,
                  .empty = barriers + 8U * static_cast<unsigned>(plan.stages),
                  .stages = plan.stages};
  if (threadIdx.x == 0) {
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(ring.full + 8 * i, 1);
      device::barrier_set_up(ring.empty + 8 * i, kGroups * kGroupThreads / device::kWarpThreads);
    }
    device::barriers_are_set_up();
  }
  __syncthreads();  // the barriers are set up
  if (threadIdx.x >= kGroups * kGroupThreads) {
    if (threadIdx.x == kGroups * kGroupThreads) fill<kRows>(weights, rows, plan, ring);
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  work<kRows>(a, plan, ring);
#else
  __trap();  // built for another device
#endif
}

cudaError_t make_map(EncodeTensorMap encode, const void* data, std::int64_t stride, Box box,
                     CUtensorMap& map) {
  return make_tensor_map(encode,
                         {.data = data,
                          .columns = box.columns,
                          .middle = box.rows,
                          .outer = 1,
                          .middle_stride = stride,
                          .outer_stride = stride,
                          .box_middle = box.rows_at_once},
                         map);
}

FlowPlan flow_plan(const Product& a, unsigned stage_bytes, unsigned shared_bytes) {
  const unsigned room = shared_bytes - kAlignment - kBarrierBytes;
  FlowPlan plan = {};
  plan.tiles = static_cast<int>((a.outputs + kOutputs - 1) / kOutputs);
  plan.steps = static_cast<int>((a.inputs + kDepth - 1) / kDepth);
  plan.stages = static_cast<int>(room / stage_bytes);
  plan.total = kAlignment + static_cast<unsigned>(plan.stages) * stage_bytes + kBarrierBytes;
  return plan;
}

template <int kRows>
cudaError_t launch(const Product& a, EncodeTensorMap encode, cudaStream_t stream) {
  if constexpr (kRows > 8) {
    if (a.rows <= kRows / 2) return launch<kRows / 2>(a, encode, stream);
  }
  const device::Weight& w = a.weight.first;
  CUtensorMap weights;
  CUtensorMap rows;
  cudaError_t code =
      make_map(encode, w.data, w.row_bytes / 2,
               {.columns = a.inputs, .rows = a.outputs, .rows_at_once = kOutputs}, weights);
  if (code != cudaSuccess) return code;
  code = make_map(encode, a.x, a.x_stride,
                  {.columns = a.inputs, .rows = a.rows, .rows_at_once = kRows}, rows);
  if (code != cudaSuccess) return code;
  const BulkLimits limits = bulk_limits();
  const FlowPlan plan = flow_plan(a, kStageBytes<kRows>, limits.shared_bytes);
  const auto kernel = &flow_kernel<kRows>;
  code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(plan.total));
  if (code != cudaSuccess) return code;
  return launch_early({.grid = static_cast<unsigned>(std::min(plan.tiles, limits.multiprocessors)),
                       .threads = kThreads,
                       .shared_bytes = plan.total},
                      kernel, stream, weights, rows, a, plan);
}

}  // namespace

bool supports_flow(const Product& a) {
#if defined(GLM_HAVE_SM90A)
  int device = 0;
  int major = 0;
  return a.row_group == nullptr && !a.gated && a.groups == 1 && a.x_divisor == 1 &&
         a.rows <= kRowsMax && a.outputs <= INT32_MAX - kOutputs &&
         a.weight.first.coding == device::Coding::bf16 && a.weight.first.row_bytes % 16 == 0 &&
         fits_tensor_cores(a) && cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major == 9 && find_encode_tensor_map() != nullptr;
#else
  (void)a;
  return false;
#endif
}

cudaError_t launch_flow(const Product& a, cudaStream_t stream) {
  return launch<kRowsMax>(a, find_encode_tensor_map(), stream);
}

}  // namespace glm::kernels::cuda
