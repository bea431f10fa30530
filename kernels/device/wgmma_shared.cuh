// Products of a warpgroup whose two sides both lie in shared memory (sm_90a only); what surrounds
// them is in wgmma.cuh, which says how sides lie there and how lanes hold the sums.
#pragma once

#include <cstdint>

namespace glm::kernels::device {

// d[64, kColumns] += a[64, 16] * b[kColumns, 16]^T
#define GLM_WGMMA_SHARED(columns, operands, sides)                                       \
  "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                         \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" operands "}, " sides \
  ", add, 1, 1, 0, 0;\n}\n"
#define GLM_SUMS_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define GLM_SUMS_16(i) GLM_SUMS_4(i), GLM_SUMS_4(i + 4), GLM_SUMS_4(i + 8), GLM_SUMS_4(i + 12)

template <int kColumns>
__device__ __forceinline__ void multiply_shared(float (&d)[kColumns / 2], std::uint64_t a,
                                                std::uint64_t b) {
  if constexpr (kColumns == 8) {
    asm volatile(GLM_WGMMA_SHARED("8", "%0, %1, %2, %3", "%4, %5")
                 : GLM_SUMS_4(0)
                 : "l"(a), "l"(b));
  } else if constexpr (kColumns == 16) {
    asm volatile(GLM_WGMMA_SHARED("16", "%0, %1, %2, %3, %4, %5, %6, %7", "%8, %9")
                 : GLM_SUMS_4(0), GLM_SUMS_4(4)
                 : "l"(a), "l"(b));
  } else if constexpr (kColumns == 32) {
    asm volatile(GLM_WGMMA_SHARED(
                     "32", "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15",
                     "%16, %17")
                 : GLM_SUMS_16(0)
                 : "l"(a), "l"(b));
  } else if constexpr (kColumns == 64) {
    asm volatile(
        GLM_WGMMA_SHARED(
            "64",
            "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
            "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31",
            "%32, %33")
        : GLM_SUMS_16(0), GLM_SUMS_16(16)
        : "l"(a), "l"(b));
  } else {
    static_assert(kColumns == 8, "no such product");
  }
}
#undef GLM_WGMMA_SHARED
#undef GLM_SUMS_16
#undef GLM_SUMS_4

}  // namespace glm::kernels::device
