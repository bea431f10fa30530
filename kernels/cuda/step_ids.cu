// One thread per token. Contract: kernels/ops/step_ids.h.
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

}  // namespace

cudaError_t launch_step_ids(const StepIds& a, cudaStream_t stream) {
  const auto tokens = static_cast<int>(a.ids.size(0));
  if (tokens == 0) return cudaSuccess;
  constexpr int kThreads = 128;
  const Args args{.ids = a.ids.as<std::int32_t>(),
                  .history = {.pages = a.history.pages.as<std::int32_t>(),
                              .table = a.history.table.as<std::int32_t>(),
                              .table_stride = a.history.table.stride(0)},
                  .given = a.given.as<std::int32_t>(),
                  .sequence = a.tokens.sequence.as<std::int32_t>(),
                  .position = a.tokens.position.as<std::int32_t>(),
                  .tokens = tokens};
  return launch_early({.grid = dim3(static_cast<unsigned>((tokens + kThreads - 1) / kThreads)),
                       .threads = kThreads},
                      &step_ids_kernel, stream, args);
}

}  // namespace glm::kernels::cuda
