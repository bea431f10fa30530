// Contract: kernels/ops/ceilings.h.
#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kThreads = 256;

// Loads of 16 bytes that nobody wants kept; one atomic addition for each warp.
__global__ void read_memory_kernel(const uint4* data, std::size_t count, std::uint32_t* out) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  std::uint32_t sum = 0;
#pragma unroll 8
  for (std::size_t i = blockIdx.x * static_cast<std::size_t>(blockDim.x) + threadIdx.x; i < count;
       i += stride) {
    const uint4 v = __ldcs(data + i);
    sum += v.x + v.y + v.z + v.w;
  }
  for (int lane = 16; lane > 0; lane /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, lane);
  if (threadIdx.x % 32 == 0) atomicAdd(out, sum);
}

constexpr int kRounds = 4096;
constexpr int kChains = 8;
constexpr std::uint64_t kWarpOperations = 2ULL * 16 * 8 * 16 * kRounds * kChains;

// Numbers of about one, all different: a device is slower on them than on zeros.
__global__ void multiply_kernel(unsigned long long* out) {
  const unsigned bits = 0x3F803F80U ^ ((threadIdx.x * 0x01230123U) & 0x00FF00FFU);
  const std::uint32_t a[4] = {bits, bits ^ 0x00110011U, bits ^ 0x80228022U, bits ^ 0x80448044U};
  float d[kChains][4] = {};
  for (int i = 0; i < kRounds; ++i) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) {
      device::mma_16x8x16(d[c], a, bits ^ static_cast<unsigned>(c), bits ^ 0x80008000U);
    }
  }
  float sum = 0;
  for (int c = 0; c < kChains; ++c) sum += d[c][0] + d[c][1] + d[c][2] + d[c][3];
  // The result decides, though it never is infinite: so the products are needed.
  if (threadIdx.x % 32 == 0 && sum < 1e38F) {
    atomicAdd(out, static_cast<unsigned long long>(kWarpOperations));
  }
}

cudaError_t multiprocessors(unsigned& count) {
  int device = 0;
  int value = 0;
  cudaError_t code = cudaGetDevice(&device);
  if (code == cudaSuccess) {
    code = cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, device);
  }
  count = static_cast<unsigned>(value);
  return code;
}

}  // namespace

cudaError_t launch_read_memory(const ReadMemory& a, cudaStream_t stream) {
  unsigned blocks = 0;
  cudaError_t code = multiprocessors(blocks);
  if (code == cudaSuccess) code = cudaMemsetAsync(a.out, 0, sizeof(*a.out), stream);
  if (code != cudaSuccess || a.size_bytes == 0) return code;
  read_memory_kernel<<<8 * blocks, kThreads, 0, stream>>>(
      static_cast<const uint4*>(a.data), static_cast<std::size_t>(a.size_bytes / sizeof(uint4)),
      a.out);
  return cudaGetLastError();
}

cudaError_t launch_multiply(const Multiply& a, cudaStream_t stream) {
  static_assert(sizeof(unsigned long long) == sizeof(*a.out));
  unsigned blocks = 0;
  cudaError_t code = multiprocessors(blocks);
  if (code == cudaSuccess) code = cudaMemsetAsync(a.out, 0, sizeof(*a.out), stream);
  if (code != cudaSuccess) return code;
  multiply_kernel<<<2 * blocks, kThreads, 0, stream>>>(
      reinterpret_cast<unsigned long long*>(a.out));
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
