// The meeting of all blocks of a grid, which must all run at once (sm_80 and later).
#pragma once

#include <cstdint>

#include "kernels/device/counters.cuh"

namespace glm::kernels::device {

// The counter of a meeting is zero before its first use and fit for the next after every one: the
// first block adds so much that the uppermost bit changes when all have come.
constexpr std::uint32_t kAllHaveCome = 1U << 31U;
__device__ inline std::uint32_t one_has_come() {
  return blockIdx.x == 0 ? kAllHaveCome - (gridDim.x - 1) : 1;
}

// By one thread of each block: what the block wrote before, and made known to this thread, can be
// read by all others when the meeting is over.
__device__ inline void come_to_meeting(std::uint32_t* counter) {
  add_release(counter, one_has_come());
}
// Until it is over; `before` is the counter's value when this block had not come yet.
__device__ inline void wait_for_meeting(const std::uint32_t* counter, std::uint32_t before) {
#pragma unroll 1
  for (unsigned looks = 0; ((load_acquire(counter) ^ before) & kAllHaveCome) == 0; ++looks) {
    if (looks == kLooksMax) __trap();
  }
}

// Both at once.
__device__ inline void blocks_meet(std::uint32_t* counter) {
  std::uint32_t before = 0;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], %2;\n"
               : "=r"(before)
               : "l"(counter), "r"(one_has_come())
               : "memory");
  wait_for_meeting(counter, before);
}

}  // namespace glm::kernels::device
