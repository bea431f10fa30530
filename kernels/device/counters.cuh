// Counters in memory by which blocks that run at the same time wait for each other: what was
// written before one is added to can be read by whoever has seen its new value.
#pragma once

#include <cstdint>

namespace glm::kernels::device {

__device__ inline std::uint32_t load_acquire(const std::uint32_t* from) {
  std::uint32_t value = 0;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];\n" : "=r"(value) : "l"(from) : "memory");
  return value;
}
__device__ inline void add_release(std::uint32_t* to, std::uint32_t value) {
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;\n" ::"l"(to), "r"(value) : "memory");
}

// Waits for what should come within microseconds. False when it has not after so many looks, ten
// seconds and more: then it never will.
constexpr unsigned kLooksMax = 1U << 25U;
__device__ inline bool wait_at_least(const std::uint32_t* counter, std::uint32_t wanted) {
#pragma unroll 1
  for (unsigned looks = 0; looks < kLooksMax; ++looks) {
    if (load_acquire(counter) >= wanted) return true;
  }
  return false;
}

}  // namespace glm::kernels::device
