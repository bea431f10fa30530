// For few rows of long sums in four bits: so few blocks have outputs that columns must be shared
// out as well. A block has 64 outputs, a share of the columns and up to 64 rows. All its weights
// are asked for before the kernel in front has ended; activations pass through a ring in shared
// memory. Two warps are beside each other along the outputs, four along the columns of a step, and
// add their sums in their order.
//
// Where columns are shared out, blocks leave their sums in memory, and the last of them to come
// adds all up, in the order of columns: neither other rows nor who comes last change the bits.
#include <algorithm>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/split_codecs.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kOutputs = kSplitOutputs;
constexpr int kRowsMax = 64;
constexpr int kStep = 128;       // columns
constexpr int kWarpsDown = 2;    // 32 outputs each
constexpr int kWarpsAcross = 4;  // 32 columns of a step each
constexpr int kThreads = kWarpsDown * kWarpsAcross * device::kWarpThreads;
constexpr int kSumsPitch = kOutputs + 4;    // what a warp writes then lies in different banks
constexpr unsigned kStepBytes = kStep / 2;  // of a row of weights
constexpr unsigned kRowBytes = kStep * 2;   // of a row of activations in a stage
static_assert(kOutputs * kRowsMax <= kSplitBlockSums);

struct SplitPlan {
  int parts;
  int units;              // of the columns, shared out among the parts
  int unit_steps;         // whose scales are a multiple of four bytes
  unsigned weight_pitch;  // bytes of shared memory from row to row
  unsigned scale_pitch;
  unsigned scales_at;
  unsigned ring_at;
  unsigned total;
  bool whole_fours;  // of results in bf16 go out at once
};

template <int kRows>
constexpr int kStages = kRows == kRowsMax ? 4 : 6;

struct SplitBlock {
  unsigned tile;  // of outputs
  int part;       // of the columns
  int first_step;
  int steps;
  RowTile rows;
};

__device__ inline SplitBlock this_block(const Product& a, const SplitPlan& plan, int rows) {
  const auto parts = static_cast<unsigned>(plan.parts);
  const auto part = static_cast<int>(blockIdx.x % parts);
  const int first = plan.units * part / plan.parts;
  const int end = plan.units * (part + 1) / plan.parts;
  return {.tile = blockIdx.x / parts,
          .part = part,
          .first_step = first * plan.unit_steps,
          .steps = (end - first) * plan.unit_steps,
          .rows = block_tile(a, rows)};
}

// Four threads have a row of weights.
template <class Codec>
__device__ inline void ask_for_weights(const Product& a, const SplitPlan& plan,
                                       const SplitBlock& block, std::uint32_t memory) {
  const device::Weight& w = a.weight.first;
  const unsigned row = threadIdx.x / 4;
  const unsigned quarter = threadIdx.x % 4;
  // Outputs beyond the last compute that one again, and nobody stores it.
  const std::int64_t output =
      min(static_cast<std::int64_t>(block.tile) * kOutputs + row, a.outputs - 1);
  const std::int64_t weight_row = block.rows.group * a.weight_rows_per_group + output;
  const auto groups = [&](int steps) { return steps * unsigned{kStep} >> w.group_shift; };
  const std::uint8_t* data =
      w.data + weight_row * w.row_bytes + block.first_step * kStepBytes + quarter * 16;
  const std::uint32_t data_to = memory + row * plan.weight_pitch + quarter * 16;
  for (int i = 0; i < block.steps; ++i) {
    device::copy_async_16(data_to + i * kStepBytes, data + i * kStepBytes, true);
  }
  const auto* scales = static_cast<const std::uint8_t*>(w.scales) +
                       (weight_row * w.groups + groups(block.first_step)) * Codec::kScaleBytes;
  const std::uint32_t scales_to = memory + plan.scales_at + row * plan.scale_pitch;
  for (unsigned at = quarter * 4; at < groups(block.steps) * Codec::kScaleBytes; at += 16) {
    device::copy_async_4(scales_to + at, scales + at);
  }
}

// The ring of activations: a stage has kStep columns of all rows, the sixteen pieces of each in
// halves that are exchanged in every other row, so that neighbours lie in different banks.
__device__ inline unsigned piece_at(int row, int piece) {
  return static_cast<unsigned>(row) * kRowBytes +
         static_cast<unsigned>(piece ^ (row & 1) << 2) * 16;
}

// Of step `step`, if there is one. Rows beyond the last are not written: nobody stores their sums.
template <int kRows>
__device__ void ask_for_rows(const Product& a, const SplitBlock& block, std::uint32_t ring,
                             int step) {
  if (step < block.steps) {
    const std::uint32_t stage =
        ring + static_cast<unsigned>(step % kStages<kRows>) * (kRows * kRowBytes);
    const int piece = static_cast<int>(threadIdx.x) % 16;
    const __nv_bfloat16* x = x_row(a, block.rows.first, block.rows.group) +
                             (block.first_step + step) * kStep + piece * 8;
#pragma unroll
    for (int i = 0; i < (kRows + 15) / 16; ++i) {
      const int row = static_cast<int>(threadIdx.x) / 16 + 16 * i;
      if (row < block.rows.count) {
        device::copy_async_16(stage + piece_at(row, piece), x + row * a.x_stride, true);
      }
    }
  }
  device::copy_async_commit();  // also of nothing: the count of groups stays that of steps
}

// What a warp adds up: 32 outputs, in two tiles, of all rows.
template <int kRows>
using WarpSums = float[2][kRows / 8][4];

template <class Codec, int kRows>
class Multiplier {
 public:
  __device__ Multiplier(const Product& a, const SplitPlan& plan, const std::uint8_t* memory)
      : weight_(a.weight.first), plan_(plan) {
    const unsigned lane = threadIdx.x % device::kWarpThreads;
    const unsigned warp = threadIdx.x / device::kWarpThreads;
    const unsigned own_row = lane / 4;
    const unsigned output = warp % kWarpsDown * 32 + own_row;
    across_ = warp / kWarpsDown;
    const unsigned piece = across_ * 4 + lane % 4;  // eight columns of a step
    column_ = piece * 8;
    weights_ = memory + output * plan.weight_pitch + piece * 4;
    scales_ = memory + plan.scales_at + output * plan.scale_pitch;
    rows_ = memory + plan.ring_at + piece_at(static_cast<int>(own_row), static_cast<int>(piece));
  }

  __device__ void step(int step, WarpSums<kRows>& sums) const {
    std::uint32_t pairs[2][2][4];
    const unsigned group = (static_cast<unsigned>(step) * kStep + column_) >> weight_.group_shift;
#pragma unroll
    for (unsigned tile = 0; tile < 2; ++tile) {
      SplitWords rows;
#pragma unroll
      for (unsigned half = 0; half < 2; ++half) {
        const unsigned row = 16 * tile + 8 * half;
        rows.words[half] = *reinterpret_cast<const std::uint32_t*>(
            weights_ + row * plan_.weight_pitch + static_cast<unsigned>(step) * kStepBytes);
        rows.scales[half] = scales_ + row * plan_.scale_pitch + group * Codec::kScaleBytes;
      }
      Codec::decode(weight_, rows, pairs[tile]);
    }
    const std::uint8_t* stage =
        rows_ + static_cast<unsigned>(step % kStages<kRows>) * (kRows * kRowBytes);
#pragma unroll
    for (int eight = 0; eight < kRows / 8; ++eight) {
      const uint4 x =
          device::int4_order(*reinterpret_cast<const uint4*>(stage + eight * 8 * kRowBytes));
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        const auto& p = pairs[tile];
        const std::uint32_t front[4] = {p[0][0], p[1][0], p[0][1], p[1][1]};
        const std::uint32_t back[4] = {p[0][2], p[1][2], p[0][3], p[1][3]};
        device::mma_16x8x16(sums[tile][eight], front, x.x, x.y);
        device::mma_16x8x16(sums[tile][eight], back, x.z, x.w);
      }
    }
  }

  // To where all warps can add them.
  __device__ void leave(const WarpSums<kRows>& sums, float* partial) const {
    const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
    const int down = static_cast<int>(threadIdx.x) / device::kWarpThreads % kWarpsDown;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int eight = 0; eight < kRows / 8; ++eight) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = static_cast<int>(across_) * kRows + 8 * eight + 2 * (lane % 4) + i % 2;
          partial[row * kSumsPitch + down * 32 + 16 * tile + lane / 4 + i / 2 * 8] =
              sums[tile][eight][i];
        }
      }
    }
  }

 private:
  const device::Weight& weight_;
  const SplitPlan& plan_;
  unsigned across_;
  unsigned column_;
  const std::uint8_t* weights_;
  const std::uint8_t* scales_;
  const std::uint8_t* rows_;
};

// A thread holds four outputs of every sixteenth row.
template <int kRows>
constexpr int kHeld = (kRows + 15) / 16;
__device__ inline int held_row(int i) {
  return static_cast<int>(threadIdx.x) / 16 + 16 * i;
}
__device__ inline int held_output() {
  return static_cast<int>(threadIdx.x) % 16 * 4;
}

__device__ inline float4 sum(const float4& a, const float4& b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}

template <int kRows>
__device__ void add_warps(const float* partial, float4 (&totals)[kHeld<kRows>]) {
#pragma unroll
  for (int i = 0; i < kHeld<kRows>; ++i) {
    const int row = min(held_row(i), kRows - 1);
#pragma unroll
    for (int w = 0; w < kWarpsAcross; ++w) {
      const float4 part = *reinterpret_cast<const float4*>(
          partial + (w * kRows + row) * kSumsPitch + held_output());
      totals[i] = w == 0 ? part : sum(totals[i], part);
    }
  }
}

// Leaves the sums of this block in memory. In the last of the blocks of a tile, `totals` are then
// those of all of them; it is told by `true`.
template <int kRows>
__device__ bool add_parts(const Product& a, const SplitPlan& plan, const SplitBlock& block,
                          float4 (&totals)[kHeld<kRows>]) {
  __shared__ bool last;
  const unsigned tiles = gridDim.x / static_cast<unsigned>(plan.parts);
  const unsigned which = block.tile + tiles * (blockIdx.y + gridDim.y * blockIdx.z);
  const auto at = [&](int part, int i) {
    const int row = min(held_row(i), block.rows.count - 1);
    return reinterpret_cast<float4*>(a.split.sums) +
           ((which * static_cast<unsigned>(plan.parts) + static_cast<unsigned>(part)) *
                (kSplitBlockSums / 4) +
            static_cast<unsigned>(row * kOutputs + held_output()) / 4);
  };
#pragma unroll
  for (int i = 0; i < kHeld<kRows>; ++i) {
    if (held_row(i) < block.rows.count) __stcg(at(block.part, i), totals[i]);
  }
  __syncthreads();  // all sums of this block are written
  if (threadIdx.x == 0) {
    __threadfence();
    const unsigned before = atomicInc(a.split.counts + which, plan.parts - 1);
    last = before == static_cast<unsigned>(plan.parts - 1);
    __threadfence();
  }
  __syncthreads();  // whether this block is the last
  if (!last) return false;
#pragma unroll 4
  for (int part = 0; part < plan.parts; ++part) {
#pragma unroll
    for (int i = 0; i < kHeld<kRows>; ++i) {
      const float4 others = __ldcg(at(part, i));
      totals[i] = part == 0 ? others : sum(totals[i], others);
    }
  }
  return true;
}

template <int kRows>
__device__ void store(const Product& a, const SplitPlan& plan, const SplitBlock& block, float unit,
                      const float4 (&totals)[kHeld<kRows>]) {
  const std::int64_t output = static_cast<std::int64_t>(block.tile) * kOutputs + held_output();
#pragma unroll
  for (int i = 0; i < kHeld<kRows>; ++i) {
    const int row = held_row(i);
    if (row >= block.rows.count) continue;
    const float values[4] = {totals[i].x * unit, totals[i].y * unit, totals[i].z * unit,
                             totals[i].w * unit};
    if (plan.whole_fours && output + 4 <= a.outputs) {
      const std::int64_t to =
          (block.rows.first + row) * a.out_stride + block.rows.group * a.out_group_stride + output;
      *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(a.out) + to) = {
          device::bf16_pair(values[0], values[1]), device::bf16_pair(values[2], values[3])};
      continue;
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      if (output + e < a.outputs) {
        put(a, block.rows.first + row, block.rows.group, output + e, values[e]);
      }
    }
  }
}

template <class Codec, int kRows>
__global__ void __launch_bounds__(kThreads, 2)
    split_kernel(const __grid_constant__ Product a, const __grid_constant__ SplitPlan plan) {
  extern __shared__ __align__(128) std::uint8_t memory[];
  const SplitBlock block = this_block(a, plan, kRows);
  ask_for_weights<Codec>(a, plan, block, device::shared_address(memory));
  const auto unit = Codec::unit(a.weight.first);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const std::uint32_t ring = device::shared_address(memory) + plan.ring_at;
#pragma unroll
  for (int step = 0; step < kStages<kRows> - 1; ++step) ask_for_rows<kRows>(a, block, ring, step);
  const Multiplier<Codec, kRows> multiplier(a, plan, memory);
  WarpSums<kRows> sums = {};
  for (int step = 0; step < block.steps; ++step) {
    device::copy_async_wait<kStages<kRows> - 2>();
    __syncthreads();  // this step's activations are there, and nobody still reads the last ones
    ask_for_rows<kRows>(a, block, ring, step + kStages<kRows> - 1);
    multiplier.step(step, sums);
  }
  __syncthreads();  // nobody still reads weights and activations
  auto* partial = reinterpret_cast<float*>(memory);
  multiplier.leave(sums, partial);
  __syncthreads();  // the sums of all warps are there
  float4 totals[kHeld<kRows>];
  add_warps<kRows>(partial, totals);
  if (plan.parts > 1 && !add_parts<kRows>(a, plan, block, totals)) return;
  store<kRows>(a, plan, block, unit, totals);
}

constexpr std::int64_t kPartsMax = 4;  // more were no faster

std::int64_t tiles_of(const Product& a) {
  return (a.outputs + kOutputs - 1) / kOutputs * a.groups;
}

int unit_steps(const device::Weight& w) {
  return std::max(1, static_cast<int>(4 * w.group / (kStep * split_scale_bytes(w))));
}

SplitPlan split_plan(const Product& a, int rows) {
  const auto padded = [](unsigned bytes, unsigned to) { return (bytes + to - 1) / to * to; };
  const device::Weight& w = a.weight.first;
  SplitPlan plan = {};
  plan.unit_steps = unit_steps(w);
  plan.units = static_cast<int>(a.inputs / kStep) / plan.unit_steps;
  const std::int64_t most = std::min<std::int64_t>(plan.units, kPartsMax);
  plan.parts = static_cast<int>(std::clamp<std::int64_t>(a.split.blocks / tiles_of(a), 1, most));
  const auto steps = static_cast<unsigned>((plan.units + plan.parts - 1) / plan.parts) *
                     static_cast<unsigned>(plan.unit_steps);
  plan.weight_pitch = padded(steps * kStepBytes, 128) + 16;
  plan.scale_pitch = padded((steps * kStep >> w.group_shift) * split_scale_bytes(w), 4) + 4;
  plan.scales_at = kOutputs * plan.weight_pitch;
  plan.ring_at = padded(plan.scales_at + kOutputs * plan.scale_pitch, 128);
  const auto all_rows = static_cast<unsigned>(rows);
  const unsigned ring = all_rows * kRowBytes *
                        static_cast<unsigned>(rows == kRowsMax ? kStages<kRowsMax> : kStages<8>);
  const unsigned partial = kWarpsAcross * all_rows * kSumsPitch * sizeof(float);
  plan.total = std::max(plan.ring_at + ring, partial);
  plan.whole_fours = !a.out_f32 && a.bias == nullptr && a.factor == nullptr && aligned(a.out, 8) &&
                     a.out_stride % 4 == 0 && a.out_group_stride % 4 == 0;
  return plan;
}

template <class Codec, int kRows>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  if constexpr (kRows > 8) {
    if (a.rows <= kRows / 2) return launch<Codec, kRows / 2>(a, stream);
  }
  const SplitPlan plan = split_plan(a, kRows);
  const auto kernel = &split_kernel<Codec, kRows>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  dim3 grid = product_grid(a, kOutputs, kRows);
  grid.x *= static_cast<unsigned>(plan.parts);
  return launch_early({.grid = grid, .threads = kThreads, .shared_bytes = plan.total}, kernel,
                      stream, a, plan);
}

}  // namespace

bool supports_split(const Product& a) {
  const device::Weight& w = a.weight.first;
  if (a.row_group != nullptr || a.gated || a.x_divisor != 1 || a.rows > kRowsMax ||
      !fits_tensor_cores(a) || !(is_fast_int4(a) || is_fast_fp4(a)) || w.zeros != nullptr ||
      !aligned(w.scales, 4) || w.groups * split_scale_bytes(w) % 4 != 0 ||
      a.inputs % (std::int64_t{kStep} * unit_steps(w)) != 0) {
    return false;
  }
  constexpr unsigned kStatic = 128;  // bytes beside those of the plan
  return split_plan(a, kRowsMax).total + kStatic <= bulk_limits().shared_bytes;
}

cudaError_t launch_split(const Product& a, cudaStream_t stream) {
  return is_fast_fp4(a) ? launch<SplitFp4, kRowsMax>(a, stream)
                        : launch<SplitInt4, kRowsMax>(a, stream);
}

}  // namespace glm::kernels::cuda
