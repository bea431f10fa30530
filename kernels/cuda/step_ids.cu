// One thread per token; with rows of a table a block per token, so that a step begins with one
// launch instead of three. Contract: kernels/ops/step_ids.h.
#include <cuda_bf16.h>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/page_ids.cuh"

namespace glm::kernels::cuda {
namespace {

struct Args {
  std::int32_t* ids;
  device::PagedIds history;
  const std::int32_t* given;
  const std::int32_t* sequence;
  const std::int32_t* position;
  int tokens;
};

__global__ void step_ids_kernel(Args a) {
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const int t = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (t >= a.tokens) return;
  std::int32_t* cell = a.history.cell(a.sequence[t], a.position[t]);
  const std::int32_t given = a.given[t];
  if (given >= 0) *cell = given;
  a.ids[t] = given >= 0 ? given : *cell;
}

Args args_of(const StepIds& a) {
  return {.ids = a.ids.as<std::int32_t>(),
          .history = {.pages = a.history.pages.as<std::int32_t>(),
                      .table = a.history.table.as<std::int32_t>(),
                      .table_stride = a.history.table.stride(0)},
          .given = a.given.as<std::int32_t>(),
          .sequence = a.tokens.sequence.as<std::int32_t>(),
          .position = a.tokens.position.as<std::int32_t>(),
          .tokens = static_cast<int>(a.ids.size(0))};
}

struct Rows {
  __nv_bfloat16* out;
  const std::uint8_t* table;
  std::int64_t out_stride;
  std::int64_t row_bytes;
  std::uint32_t octets;  // of a row
};

__global__ void step_rows_kernel(Args a, Rows rows, std::uint64_t* began_ns) {
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (began_ns != nullptr && blockIdx.x == 0 && threadIdx.x == 0) {
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(*began_ns));
  }
  const auto t = static_cast<int>(blockIdx.x);
  const std::int32_t given = a.given[t];
  std::int32_t* cell = a.history.cell(a.sequence[t], a.position[t]);
  const std::int32_t id = given >= 0 ? given : *cell;
  if (threadIdx.x == 0) {
    if (given >= 0) *cell = given;
    a.ids[t] = id;
  }
  const auto* from = reinterpret_cast<const uint4*>(rows.table + id * rows.row_bytes);
  auto* to = reinterpret_cast<uint4*>(rows.out + t * rows.out_stride);
  for (std::uint32_t c = threadIdx.x; c < rows.octets; c += blockDim.x) to[c] = from[c];
}

}  // namespace

bool supports_step_rows(const StepIds& a) {
  if (!a.rows || a.rows.dtype != Dtype::bf16 || a.ids.size(0) == 0) return false;
  const device::Weight w = device_weight(a.table);
  return w.coding == device::Coding::bf16 && w.order == nullptr && w.cols % 8 == 0 &&
         w.row_bytes % 16 == 0 && a.rows.stride(0) % 8 == 0 && aligned(w.data) &&
         aligned(a.rows.data);
}

cudaError_t launch_step_rows(const StepIds& a, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  const device::Weight w = device_weight(a.table);
  const Rows rows{.out = a.rows.as<__nv_bfloat16>(),
                  .table = w.data,
                  .out_stride = a.rows.stride(0),
                  .row_bytes = w.row_bytes,
                  .octets = w.cols / 8};
  return launch_early({.grid = static_cast<unsigned>(a.ids.size(0)), .threads = kThreads},
                      &step_rows_kernel, stream, args_of(a), rows, a.began_ns);
}

cudaError_t launch_step_ids(const StepIds& a, cudaStream_t stream) {
  const auto tokens = static_cast<int>(a.ids.size(0));
  if (tokens == 0) return cudaSuccess;
  constexpr int kThreads = 128;
  return launch_early({.grid = dim3(static_cast<unsigned>((tokens + kThreads - 1) / kThreads)),
                       .threads = kThreads},
                      &step_ids_kernel, stream, args_of(a));
}

}  // namespace glm::kernels::cuda
