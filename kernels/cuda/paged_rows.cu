// One block per row, 16 bytes at a time where everything is aligned. Contract:
// kernels/ops/paged_rows.h; bf16.
#include "kernels/cuda/attention_args.h"

namespace glm::kernels::cuda {
namespace {

using Element = __nv_bfloat16;
constexpr int kVector = sizeof(uint4) / sizeof(Element);

struct Store {
  device::PagedRows rows;
  const std::int32_t* sequence;
  const std::int32_t* position;
  const Element* x;
  std::int64_t x_stride;
  int columns;
};

struct Gather {
  device::PagedRows rows;
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
__global__ void store_kernel(Store a) {
  const std::int64_t token = blockIdx.x;
  copy<Vector>(a.rows.row(a.sequence[token], a.position[token]), a.x + token * a.x_stride,
               a.columns);
}

template <typename Vector>
__global__ void gather_kernel(Gather a) {
  const std::int64_t position = blockIdx.x;
  copy<Vector>(a.out + position * a.out_stride, a.rows.row(a.sequence, static_cast<int>(position)),
               a.columns);
}

unsigned threads(std::int64_t columns) {
  return columns >= 128 * kVector ? 128 : 64;
}

}  // namespace

cudaError_t launch_store_rows(const StoreRows& a, cudaStream_t stream) {
  if (a.x.size(0) == 0) return cudaSuccess;
  const Store args{.rows = device_rows(a.rows),
                   .sequence = a.tokens.sequence.as<std::int32_t>(),
                   .position = a.tokens.position.as<std::int32_t>(),
                   .x = bf16(a.x),
                   .x_stride = a.x.stride(0),
                   .columns = static_cast<int>(a.x.size(1))};
  const bool wide = vector_rows(a.x) && vector_rows(a.rows.pages) && args.columns % kVector == 0;
  const auto kernel = wide ? &store_kernel<uint4> : &store_kernel<Element>;
  kernel<<<static_cast<unsigned>(a.x.size(0)), threads(args.columns), 0, stream>>>(args);
  return cudaGetLastError();
}

cudaError_t launch_gather_rows(const GatherRows& a, cudaStream_t stream) {
  if (a.out.size(0) == 0 || a.out.size(1) == 0) return cudaSuccess;
  const Gather args{.rows = device_rows(a.rows),
                    .out = bf16(a.out),
                    .out_stride = a.out.stride(0),
                    .sequence = static_cast<int>(a.sequence),
                    .columns = static_cast<int>(a.out.size(1))};
  const bool wide = vector_rows(a.out) && vector_rows(a.rows.pages) && args.columns % kVector == 0;
  const auto kernel = wide ? &gather_kernel<uint4> : &gather_kernel<Element>;
  kernel<<<static_cast<unsigned>(a.out.size(0)), threads(args.columns), 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
