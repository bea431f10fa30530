// One block per row; of plain pages 16 bytes at a time where everything is aligned. Contract:
// kernels/ops/paged_rows.h; bf16.
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/latent_record.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

using Element = __nv_bfloat16;
constexpr int kVector = sizeof(uint4) / sizeof(Element);

template <typename PageElement>
struct Store {
  device::PagedRows<PageElement> rows;
  const std::int32_t* sequence;
  const std::int32_t* position;
  const Element* x;
  std::int64_t x_stride;
  int columns;
};

template <typename PageElement>
struct Gather {
  device::PagedRows<PageElement> rows;
  Element* out;
  std::int64_t out_stride;
  int sequence;
  int columns;
};

template <typename Vector>
__device__ void copy(void* to, const void* from, int columns) {
  constexpr int kColumns = sizeof(Vector) / sizeof(Element);
  for (int i = static_cast<int>(threadIdx.x); i < columns / kColumns;
       i += static_cast<int>(blockDim.x)) {
    static_cast<Vector*>(to)[i] = static_cast<const Vector*>(from)[i];
  }
}

template <typename Vector>
__global__ void store_kernel(Store<Element> a) {
  const std::int64_t token = blockIdx.x;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  copy<Vector>(a.rows.row(a.sequence[token], a.position[token]), a.x + token * a.x_stride,
               a.columns);
}

template <typename Vector>
__global__ void gather_kernel(Gather<Element> a) {
  const std::int64_t position = blockIdx.x;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  copy<Vector>(a.out + position * a.out_stride, a.rows.row(a.sequence, static_cast<int>(position)),
               a.columns);
}

// A warp per scale, as encode() of kernels/kv_format.cc.
__global__ void store_latent_kernel(Store<std::uint8_t> a, device::LatentRecord layout) {
  constexpr float kLargest = 448;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const std::int64_t token = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const int lane = thread % device::kWarpThreads;
  std::uint8_t* record = a.rows.row(a.sequence[token], a.position[token]);
  const Element* x = a.x + token * a.x_stride;
  constexpr int kBlock = device::LatentRecord::kBlock;
  for (int first = thread / device::kWarpThreads * kBlock; first < layout.latent;
       first += threads / device::kWarpThreads * kBlock) {
    const int end = min(first + kBlock, layout.latent);
    // Bits of magnitudes are ordered as the magnitudes, NaN above infinity.
    std::uint32_t largest = 0;
    for (int c = first + lane; c < end; c += device::kWarpThreads) {
      largest = max(largest, __float_as_uint(device::load(x + c)) & 0x7FFFFFFFU);
    }
    largest = __reduce_max_sync(0xFFFFFFFFU, largest);
    float scale = __uint_as_float(0x7FC00000U);
    if (largest < 0x7F800000U) {
      scale = device::rounded<Element>(__fdiv_rn(__uint_as_float(largest), kLargest));
      scale = fminf(fmaxf(scale, 0x1p-100F), 0x1p7F);
    }
    for (int c = first + lane; c < end; c += device::kWarpThreads) {
      record[c] = device::to_e4m3(__fdiv_rn(device::load(x + c), scale));
    }
    if (lane == 0) reinterpret_cast<float*>(record + layout.scales_at)[first / kBlock] = scale;
  }
  auto* rope = reinterpret_cast<Element*>(record + layout.rope_at);
  for (int c = layout.latent + thread; c < a.columns; c += threads) rope[c - layout.latent] = x[c];
  const int rope_end = layout.rope_at + (a.columns - layout.latent) * 2;
  for (int i = layout.latent + thread; i < layout.scales_at; i += threads) record[i] = 0;
  for (int i = rope_end + thread; i < layout.size_bytes; i += threads) record[i] = 0;
}

__global__ void gather_latent_kernel(Gather<std::uint8_t> a, device::LatentRecord layout) {
  const std::int64_t position = blockIdx.x;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const std::uint8_t* record = a.rows.row(a.sequence, static_cast<int>(position));
  Element* out = a.out + position * a.out_stride;
  for (int c = static_cast<int>(threadIdx.x); c < a.columns; c += static_cast<int>(blockDim.x)) {
    device::store(out + c, layout.value(record, c));
  }
}

unsigned threads(std::int64_t columns) {
  return columns >= 128 * kVector ? 128 : 64;
}

template <typename PageElement>
Store<PageElement> store_args(const StoreRows& a) {
  return {.rows = device_rows<PageElement>(a.rows),
          .sequence = a.tokens.sequence.as<std::int32_t>(),
          .position = a.tokens.position.as<std::int32_t>(),
          .x = bf16(a.x),
          .x_stride = a.x.stride(0),
          .columns = static_cast<int>(a.x.size(1))};
}

template <typename PageElement>
Gather<PageElement> gather_args(const GatherRows& a) {
  return {.rows = device_rows<PageElement>(a.rows),
          .out = bf16(a.out),
          .out_stride = a.out.stride(0),
          .sequence = static_cast<int>(a.sequence),
          .columns = static_cast<int>(a.out.size(1))};
}

constexpr unsigned kLatentThreads = 128;  // four scales at once

}  // namespace

cudaError_t launch_store_rows(const StoreRows& a, cudaStream_t stream) {
  if (a.x.size(0) == 0) return cudaSuccess;
  const auto rows = static_cast<unsigned>(a.x.size(0));
  if (!a.rows.plain()) {
    const LatentRecord layout{.latent = a.rows.fp8_latent, .rope = a.x.size(1) - a.rows.fp8_latent};
    return launch_early({.grid = rows, .threads = kLatentThreads}, &store_latent_kernel, stream,
                        store_args<std::uint8_t>(a), device_record(layout));
  }
  const Store<Element> args = store_args<Element>(a);
  const bool wide = vector_rows(a.x) && vector_rows(a.rows.pages) && args.columns % kVector == 0;
  const auto kernel = wide ? &store_kernel<uint4> : &store_kernel<Element>;
  return launch_early({.grid = rows, .threads = threads(args.columns)}, kernel, stream, args);
}

cudaError_t launch_gather_rows(const GatherRows& a, cudaStream_t stream) {
  if (a.out.size(0) == 0 || a.out.size(1) == 0) return cudaSuccess;
  const auto rows = static_cast<unsigned>(a.out.size(0));
  if (!a.rows.plain()) {
    return launch_early({.grid = rows, .threads = kLatentThreads}, &gather_latent_kernel, stream,
                        gather_args<std::uint8_t>(a), device_record({.latent = a.rows.fp8_latent}));
  }
  const Gather<Element> args = gather_args<Element>(a);
  const bool wide = vector_rows(a.out) && vector_rows(a.rows.pages) && args.columns % kVector == 0;
  const auto kernel = wide ? &gather_kernel<uint4> : &gather_kernel<Element>;
  return launch_early({.grid = rows, .threads = threads(args.columns)}, kernel, stream, args);
}

}  // namespace glm::kernels::cuda
