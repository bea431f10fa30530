// One block: what it copies is latency.
#include "kernels/cuda/host_copy.h"

#include <cstdint>

#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kThreads = 1024;
constexpr std::size_t kBytesMax = 64 << 10;  // more is faster by an engine
constexpr unsigned kWords = sizeof(uint4) / sizeof(std::uint32_t);

__global__ void __launch_bounds__(kThreads)
    host_copy_kernel(std::uint32_t* to, const std::uint32_t* from, unsigned words) {
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const unsigned octets = words / kWords;
  for (unsigned i = threadIdx.x; i < octets; i += kThreads) {
    reinterpret_cast<uint4*>(to)[i] = reinterpret_cast<const uint4*>(from)[i];
  }
  const unsigned rest = octets * kWords + threadIdx.x;
  if (rest < words) to[rest] = from[rest];
}

bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % sizeof(uint4) == 0;
}

bool is_seen(const void* data) {
  cudaPointerAttributes attributes = {};
  if (cudaPointerGetAttributes(&attributes, data) != cudaSuccess) {
    (void)cudaGetLastError();
    return false;
  }
  return attributes.devicePointer == data;
}

}  // namespace

bool suits_host_copy(const void* to, const void* from, std::size_t size_bytes) {
  return size_bytes <= kBytesMax && size_bytes % sizeof(std::uint32_t) == 0 && is_aligned(to) &&
         is_aligned(from) && is_seen(to) && is_seen(from);
}

cudaError_t launch_host_copy(void* to, const void* from, std::size_t size_bytes,
                             cudaStream_t stream) {
  return launch_early({.grid = dim3(1), .threads = kThreads}, &host_copy_kernel, stream,
                      static_cast<std::uint32_t*>(to), static_cast<const std::uint32_t*>(from),
                      static_cast<unsigned>(size_bytes / sizeof(std::uint32_t)));
}

}  // namespace glm::kernels::cuda
