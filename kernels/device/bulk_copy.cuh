// Bulk copies from memory to shared memory, the barriers in shared memory on which they complete,
// and the early start of a kernel that depends on the one before it (sm_90 and later; code for
// older devices must not call them). PTX manual: "mbarrier", "cp.async.bulk", "griddepcontrol".
//
// A barrier goes through phases. One is over when all arrivals it was set up for have come and as
// many bytes as were announced; the first has parity 0, the next 1, and so on.
#pragma once

#include <cstdint>

namespace glm::kernels::device {

// By one thread, which then calls barriers_are_set_up() before a __syncthreads().
__device__ inline void barrier_set_up(std::uint32_t barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(barrier), "r"(arrivals)
               : "memory");
}
// For copies as well as for threads.
__device__ inline void barriers_are_set_up() {
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

__device__ inline void barrier_arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(barrier) : "memory");
}
// By a whole warp, which is together: one of its threads arrives. Who does is found where it is
// needed and takes no register until then.
__device__ inline void barrier_arrive_as_one(std::uint32_t barrier) {
  asm volatile(
      "{\n"
      ".reg .pred one;\n"
      "elect.sync _|one, 0xFFFFFFFF;\n"
      "@one mbarrier.arrive.shared::cta.b64 _, [%0];\n"
      "}\n" ::"r"(barrier)
      : "memory");
}
// An arrival that announces bytes to come in this phase.
__device__ inline void barrier_arrive_expecting(std::uint32_t barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(barrier), "r"(bytes)
               : "memory");
}

// Until the phase of this parity is over: the present one, or the one just before it.
__device__ inline void barrier_wait(std::uint32_t barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred over;\n"
      "again_%=:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
      "@!over bra again_%=;\n"
      "}\n" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

// Whether it is over.
__device__ inline bool barrier_is_over(std::uint32_t barrier, unsigned parity) {
  std::uint32_t over = 0;
  asm volatile(
      "{\n"
      ".reg .pred over;\n"
      "mbarrier.test_wait.parity.shared::cta.b64 over, [%1], %2;\n"
      "selp.u32 %0, 1, 0, over;\n"
      "}\n"
      : "=r"(over)
      : "r"(barrier), "r"(parity)
      : "memory");
  return over != 0;
}

// For what is read once: such lines leave the second-level cache first.
__device__ inline std::uint64_t read_once_policy() {
  std::uint64_t policy = 0;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;\n" : "=l"(policy));
  return policy;
}

// Addresses and count are multiples of 16.
__device__ inline void bulk_copy(std::uint32_t shared, const void* global, unsigned bytes,
                                 std::uint32_t barrier, std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], %4;\n" ::"r"(shared),
      "l"(global), "r"(bytes), "r"(barrier), "l"(policy)
      : "memory");
}

// As the cache sees fit.
__device__ inline void bulk_copy(std::uint32_t shared, const void* global, unsigned bytes,
                                 std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];\n" ::
          "r"(shared),
      "l"(global), "r"(bytes), "r"(barrier)
      : "memory");
}

// A line to the second-level cache.
__device__ inline void prefetch(const void* global) {
  asm volatile("prefetch.global.L2 [%0];\n" ::"l"(global));
}

// Until the kernels this one depends on have ended and what they wrote can be read. Returns at once
// where the launch allowed no early start.
__device__ inline void wait_for_earlier_kernels() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
}
// Kernels that may start early do so once all blocks have come here or ended.
__device__ inline void let_later_kernels_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}

}  // namespace glm::kernels::device
