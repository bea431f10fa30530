// One block per row. Where rows can be moved sixteen bytes at a time, a thread keeps eight columns
// in registers from the sum to the product; elsewhere threads stride over the columns and read them
// again. Weights are read before the kernel in front has ended. Contract: kernels/ops/rms_norm.h.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

template <typename T>
struct Rows {
  T* out;
  const T* x;
  const T* weight;
  const T* residual;  // may be null
  T* sum;             // likewise
  std::int64_t out_stride;
  std::int64_t x_stride;
  std::int64_t residual_stride;
  std::int64_t sum_stride;
  std::int64_t dim;
  float eps;
  bool early;  // let later kernels start before this one may begin
};

constexpr std::int64_t kThreadsMax = 1024;

template <typename T>
__global__ void rms_norm_kernel(Rows<T> a) {
  const std::int64_t row = blockIdx.x;
  const T* x = a.x + row * a.x_stride;
  const T* residual = a.residual == nullptr ? nullptr : a.residual + row * a.residual_stride;
  T* sum = a.sum == nullptr ? nullptr : a.sum + row * a.sum_stride;
  T* out = a.out + row * a.out_stride;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  float squares = 0;
  for (std::int64_t c = threadIdx.x; c < a.dim; c += blockDim.x) {
    float value = device::load(x + c);
    if (residual != nullptr) {
      value = device::rounded<T>(value + device::load(residual + c));
      device::store(sum + c, value);
    }
    squares += value * value;
  }
  const float mean = device::block_sum(squares) / static_cast<float>(a.dim);
  const float scale = 1.0F / sqrtf(mean + a.eps);
  // A thread reads back only what it wrote itself, and x before out takes its place.
  const T* source = residual == nullptr ? x : sum;
  for (std::int64_t c = threadIdx.x; c < a.dim; c += blockDim.x) {
    const float normed = device::rounded<T>(device::load(source + c) * scale);
    device::store(out + c, device::load(a.weight + c) * normed);
  }
}

__global__ void rms_norm_octets_kernel(Rows<__nv_bfloat16> a) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t c = static_cast<std::int64_t>(threadIdx.x) * device::kOctet;
  const bool there = c < a.dim;
  const uint4 weight = there ? device::read_octet(a.weight + c) : uint4{};
  if (a.early) device::let_later_kernels_start();
  device::wait_for_earlier_kernels();
  if (!a.early) device::let_later_kernels_start();

  uint4 x = there ? device::read_octet(a.x + row * a.x_stride + c) : uint4{};
  if (a.residual != nullptr && there) {
    x = device::octet_sum(x, device::read_octet(a.residual + row * a.residual_stride + c));
    device::write_octet(a.sum + row * a.sum_stride + c, x);
  }
  const float mean = device::block_sum(device::octet_squares(x)) / static_cast<float>(a.dim);
  const float scale = 1.0F / sqrtf(mean + a.eps);
  if (there) {
    device::write_octet(a.out + row * a.out_stride + c, device::octet_normed(x, weight, scale));
  }
}

bool in_octets(const Rows<__nv_bfloat16>& a) {
  const auto aligned = [](const void* data, std::int64_t stride) {
    return device::octets_aligned(data) && stride % device::kOctet == 0;
  };
  return a.dim % device::kOctet == 0 && a.dim <= kThreadsMax * device::kOctet &&
         aligned(a.out, a.out_stride) && aligned(a.x, a.x_stride) && aligned(a.weight, 0) &&
         aligned(a.residual, a.residual_stride) && aligned(a.sum, a.sum_stride);
}

// Inside a layer, but for prompts, the blocks behind are large: started at once, they read weights
// while the kernel in front ends. So are those of a model's head where it is a product of few large
// blocks (product_flow.cu); elsewhere they are many and small and would only be in the way. There
// the sum takes the residual's place.
bool lets_start(const RmsNorm& a) {
  constexpr std::int64_t kRowsMax = 64;
  return a.residual && a.x.size(0) <= kRowsMax &&
         (a.residual.data != a.sum.data || takes_warpgroups());
}

template <typename T>
cudaError_t launch(const RmsNorm& a, cudaStream_t stream) {
  constexpr unsigned kThreads = 256;
  const Rows<T> rows{.out = static_cast<T*>(a.out.data),
                     .x = static_cast<const T*>(a.x.data),
                     .weight = static_cast<const T*>(a.weight.data),
                     .residual = static_cast<const T*>(a.residual.data),
                     .sum = static_cast<T*>(a.sum.data),
                     .out_stride = a.out.stride(0),
                     .x_stride = a.x.stride(0),
                     .residual_stride = a.residual.stride(0),
                     .sum_stride = a.sum.stride(0),
                     .dim = a.x.size(1),
                     .eps = a.eps,
                     .early = lets_start(a)};
  const auto blocks = static_cast<unsigned>(a.x.size(0));
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    if (in_octets(rows)) {
      const unsigned threads = device::octet_threads(static_cast<int>(rows.dim));
      return launch_early({.grid = blocks, .threads = threads}, &rms_norm_octets_kernel, stream,
                          rows);
    }
  }
  return launch_early({.grid = blocks, .threads = kThreads}, &rms_norm_kernel<T>, stream, rows);
}

}  // namespace

cudaError_t launch_rms_norm(const RmsNorm& a, cudaStream_t stream) {
  if (a.x.size(0) == 0) return cudaSuccess;
  return a.x.dtype == Dtype::f32 ? launch<float>(a, stream) : launch<__nv_bfloat16>(a, stream);
}

}  // namespace glm::kernels::cuda
