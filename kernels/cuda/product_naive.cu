// One warp per output; it takes the rows one after the other. Every shape and every format: what
// the other variants are compared with.
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kWarps = 8;  // in a block

__device__ float dot(const __nv_bfloat16* x, const device::Weight& w, std::int64_t row) {
  float sum = 0;
  for (std::uint32_t c = threadIdx.x % device::kWarpThreads; c < w.cols;
       c += device::kWarpThreads) {
    sum += device::load(x + device::column_of(w, c)) * device::stored_weight(w, row, c);
  }
  return device::warp_sum(sum);
}

__global__ void naive_kernel(Product a) {
  const std::int64_t output =
      static_cast<std::int64_t>(blockIdx.x) * kWarps + threadIdx.x / device::kWarpThreads;
  if (output >= a.outputs) return;
  for (std::int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const std::int64_t group =
        a.row_group != nullptr ? a.row_group[row] : static_cast<std::int64_t>(blockIdx.z);
    const __nv_bfloat16* x = x_row(a, row, group);
    const std::int64_t weight_row = group * a.weight_rows_per_group + output;
    const std::int64_t expert = a.row_group != nullptr ? group : 0;
    float value = dot(x, device::weight_at(a.weight, expert), weight_row);
    if (a.gated) value = silu(value) * dot(x, device::weight_at(a.up, expert), weight_row);
    if (threadIdx.x % device::kWarpThreads == 0) put(a, row, group, output, value);
  }
}

}  // namespace

cudaError_t launch_naive(const Product& a, cudaStream_t stream) {
  constexpr std::int64_t kGridYMax = 65535;
  const dim3 grid(static_cast<unsigned>((a.outputs + kWarps - 1) / kWarps),
                  static_cast<unsigned>(a.rows < kGridYMax ? a.rows : kGridYMax),
                  static_cast<unsigned>(a.row_group != nullptr ? 1 : a.groups));
  naive_kernel<<<grid, kWarps * device::kWarpThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
