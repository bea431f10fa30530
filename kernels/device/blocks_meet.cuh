// The meeting of all blocks of a grid, which must all run at once (sm_80 and later).
#pragma once

#include <cstdint>

namespace glm::kernels::device {

// By one thread of each block. What the blocks wrote before, and made known to this thread, can be
// read by all others after. The counter is zero before its first use and fit for the next after
// every one: the first block adds so much that its uppermost bit changes when all have come.
__device__ inline void blocks_meet(std::uint32_t* counter) {
  constexpr std::uint32_t kTop = 1U << 31U;
  const std::uint32_t own = blockIdx.x == 0 ? kTop - (gridDim.x - 1) : 1;
  std::uint32_t before = 0;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;\n"
               : "=r"(before)
               : "l"(counter), "r"(own)
               : "memory");
  // What should come within microseconds. When it has not after so many looks, ten seconds and
  // more, it never will: the kernel ends with an error.
  constexpr unsigned kLooksMax = 1U << 25U;
  std::uint32_t now = 0;
  unsigned looks = 0;
#pragma unroll 1
  do {
    if (++looks > kLooksMax) __trap();
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];\n" : "=r"(now) : "l"(counter) : "memory");
  } while (((now ^ before) & kTop) == 0);
}

}  // namespace glm::kernels::device
