// For some tens of rows and weights in bf16: 32 rows of weights (gated: 16 of gate and 16 of up)
// and all rows of activations pass through a ring in shared memory, so that activations are read
// once for 32 outputs, and copies are under way for several steps. Eight warps have sixteen columns
// of a step each and add their sums in their order.
//
// The first weights are asked for before the kernel in front has ended: they depend on nothing.
#include "kernels/cuda/aligned.h"
#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kWeightRows = 32;
constexpr int kRowsMax = 64;
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * device::kWarpThreads;
constexpr int kStep = kWarps * 16;           // columns
constexpr int kPieces = kStep / 8;           // of a row in a stage
constexpr int kSumsPitch = kWeightRows + 4;  // what a warp writes then lies in different banks

template <int kRows>
constexpr int kStages = kRows == kRowsMax ? 4 : 6;
template <int kRows>
constexpr unsigned kStageBytes = (kWeightRows + kRows) * kStep * 2U;
template <int kRows>
constexpr unsigned kSharedBytes = kStages<kRows>* kStageBytes<kRows>;
static_assert(kSharedBytes<64> >= kWarps * 64 * kSumsPitch * 4);
static_assert(kSharedBytes<32> >= kWarps * 32 * kSumsPitch * 4);

// Of eight rows, the same piece lies in different banks.
__device__ inline unsigned piece_at(int row, int piece) {
  return static_cast<unsigned>(row * (kStep * 2) + ((piece & 8) | ((piece ^ row) & 7)) * 16);
}

// Copies to a stage: a thread has a piece of every sixteenth row.
template <bool kGated>
class Source {
 public:
  __device__ Source(const Product& a, const RowTile& rows) : a_(a), rows_(rows) {
    const int piece = static_cast<int>(threadIdx.x) % kPieces;
    const int row = static_cast<int>(threadIdx.x) / kPieces;
    column_ = piece * 8;
    to_ = piece_at(row, piece);  // sixteen rows on it is the same piece
    constexpr int kOutputs = kGated ? kWeightRows / 2 : kWeightRows;
#pragma unroll
    for (int i = 0; i < kWeightRows / 16; ++i) {
      const std::int64_t output =
          static_cast<std::int64_t>(blockIdx.x) * kOutputs + row + (kGated ? 0 : 16 * i);
      const device::Weight& w = kGated && i == 1 ? a.up.first : a.weight.first;
      // Outputs beyond the last compute that one again, and nobody stores it.
      const std::int64_t weight_row =
          rows.group * a.weight_rows_per_group + min(output, a.outputs - 1);
      weights_[i] = w.data + weight_row * w.row_bytes;
    }
    x_ = x_row(a, rows.first + row, rows.group);
  }

  __device__ void ask_for_weights(std::uint32_t stage, int step) const {
    const std::int64_t c = static_cast<std::int64_t>(step) * kStep + column_;
    const bool there = c < a_.inputs;
#pragma unroll
    for (int i = 0; i < kWeightRows / 16; ++i) {
      device::copy_async_16(stage + to_ + i * 16 * (kStep * 2), weights_[i] + (there ? 2 * c : 0),
                            there);
    }
  }

  // Rows beyond the last are not written: nobody stores their sums.
  template <int kRows>
  __device__ void ask_for_rows(std::uint32_t stage, int step) const {
    const std::int64_t c = static_cast<std::int64_t>(step) * kStep + column_;
    const bool there = c < a_.inputs;
#pragma unroll
    for (int i = 0; i < (kRows + 15) / 16; ++i) {
      if (static_cast<int>(threadIdx.x) / kPieces + 16 * i < rows_.count) {
        device::copy_async_16(stage + to_ + (kWeightRows + 16 * i) * (kStep * 2),
                              x_ + 16 * i * a_.x_stride + (there ? c : 0), there);
      }
    }
  }

 private:
  const Product& a_;
  const RowTile& rows_;
  int column_;
  unsigned to_;
  const std::uint8_t* weights_[kWeightRows / 16];
  const __nv_bfloat16* x_;
};

template <int kRows>
using WarpSums = float[2][kRows / 8][4];

// sums += weights * activations over the columns of this warp.
template <int kRows>
__device__ void multiply(std::uint32_t stage, WarpSums<kRows>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int first_piece = static_cast<int>(threadIdx.x) / device::kWarpThreads * 2;
  std::uint32_t left[2][4];
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
    device::load_matrices(left[tile],
                          stage + piece_at(16 * tile + lane % 16, first_piece + lane / 16));
  }
  const std::uint32_t rows = stage + kWeightRows * (kStep * 2);
  if constexpr (kRows == 8) {
    std::uint32_t right[2];
    device::load_matrices(right, rows + piece_at(lane % 8, first_piece + lane / 8 % 2));
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      device::mma_16x8x16(sums[tile][0], left[tile], right[0], right[1]);
    }
  } else {
#pragma unroll
    for (int pair = 0; pair < kRows / 16; ++pair) {
      std::uint32_t right[4];
      device::load_matrices(
          right, rows + piece_at(16 * pair + lane / 16 * 8 + lane % 8, first_piece + lane / 8 % 2));
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        device::mma_16x8x16(sums[tile][2 * pair], left[tile], right[0], right[1]);
        device::mma_16x8x16(sums[tile][2 * pair + 1], left[tile], right[2], right[3]);
      }
    }
  }
}

template <bool kGated, int kRows>
__device__ void store(const Product& a, const RowTile& rows, const float* partial) {
  constexpr int kOutputs = kGated ? kWeightRows / 2 : kWeightRows;
  const auto total = [&](int row, int weight_row) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += partial[(w * kRows + row) * kSumsPitch + weight_row];
    return sum;
  };
  constexpr int kHeld = (kRows * kOutputs + kThreads - 1) / kThreads;
  float values[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads;
    const int row = min(at / kOutputs, kRows - 1);
    const float first = total(row, at % kOutputs);
    values[i] = kGated ? silu(first) * total(row, at % kOutputs + 16) : first;
  }
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kThreads;
    const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * kOutputs + at % kOutputs;
    if (at / kOutputs < rows.count && output < a.outputs) {
      put(a, rows.first + at / kOutputs, rows.group, output, values[i]);
    }
  }
}

template <bool kGated, int kRows>
__global__ void __launch_bounds__(kThreads, 2) ring_kernel(const __grid_constant__ Product a) {
  extern __shared__ __align__(128) std::uint8_t memory[];
  const RowTile rows = block_tile(a, kRows);
  const Source<kGated> source(a, rows);
  const std::uint32_t ring = device::shared_address(memory);
  const int steps = static_cast<int>((a.inputs + kStep - 1) / kStep);
  const auto stage = [&](int step) {
    return ring + static_cast<unsigned>(step % kStages<kRows>) * kStageBytes<kRows>;
  };
#pragma unroll
  for (int step = 0; step < kStages<kRows> - 1; ++step) {
    if (step < steps) source.ask_for_weights(stage(step), step);
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
#pragma unroll
  for (int step = 0; step < kStages<kRows> - 1; ++step) {
    if (step < steps) source.template ask_for_rows<kRows>(stage(step), step);
    device::copy_async_commit();  // also of nothing: the count of groups stays that of steps
  }
  WarpSums<kRows> sums = {};
  for (int step = 0; step < steps; ++step) {
    device::copy_async_wait<kStages<kRows> - 2>();
    __syncthreads();  // this step's stage is there, and nobody still reads the last one
    const int next = step + kStages<kRows> - 1;
    if (next < steps) {
      source.ask_for_weights(stage(next), next);
      source.template ask_for_rows<kRows>(stage(next), next);
    }
    device::copy_async_commit();
    multiply<kRows>(stage(step), sums);
  }
  __syncthreads();  // nobody still reads the ring
  auto* partial = reinterpret_cast<float*>(memory);
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
    for (int eight = 0; eight < kRows / 8; ++eight) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = warp * kRows + 8 * eight + 2 * (lane % 4) + i % 2;
        partial[row * kSumsPitch + 16 * tile + lane / 4 + i / 2 * 8] = sums[tile][eight][i];
      }
    }
  }
  __syncthreads();  // the sums of all warps are there
  store<kGated, kRows>(a, rows, partial);
}

template <bool kGated, int kRows>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  if constexpr (kRows > 8) {
    if (a.rows <= kRows / 2) return launch<kGated, kRows / 2>(a, stream);
  }
  const auto kernel = &ring_kernel<kGated, kRows>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<kRows>);
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = product_grid(a, kGated ? kWeightRows / 2 : kWeightRows, kRows),
                       .threads = kThreads,
                       .shared_bytes = kSharedBytes<kRows>},
                      kernel, stream, a);
}

}  // namespace

bool supports_ring(const Product& a) {
  return a.row_group == nullptr && a.x_divisor == 1 && fits_tensor_cores(a) &&
         a.weight.first.coding == device::Coding::bf16 && a.weight.first.row_bytes % 16 == 0 &&
         (!a.gated ||
          (a.up.first.coding == device::Coding::bf16 && a.up.first.row_bytes % 16 == 0)) &&
         kSharedBytes<kRowsMax> <= bulk_limits().shared_bytes;
}

cudaError_t launch_ring(const Product& a, cudaStream_t stream) {
  return a.gated ? launch<true, kRowsMax>(a, stream) : launch<false, kRowsMax>(a, stream);
}

}  // namespace glm::kernels::cuda
