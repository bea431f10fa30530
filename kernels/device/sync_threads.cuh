// The meeting of some warps of a block, whole ones: `barrier` is 1 to 15 (0 is __syncthreads), and
// `count` threads use it. What they wrote to shared memory before can be read by the others after.
#pragma once

namespace glm::kernels::device {

__device__ inline void sync_threads(int barrier, int count) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(barrier), "r"(count) : "memory");
}

// Comes to it, and does not wait for the others.
__device__ inline void arrive_threads(int barrier, int threads) {
  asm volatile("bar.arrive %0, %1;\n" ::"r"(barrier), "r"(threads) : "memory");
}

}  // namespace glm::kernels::device
