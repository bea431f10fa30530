// Products of a warpgroup (four warps, the first a multiple of four) on Hopper's tensor cores: the
// left side from registers, the right side from shared memory, sums in registers (sm_90a only). PTX
// manual: "Asynchronous Warpgroup Level Matrix Instructions".
//
// What is called between warpgroup_begin() and warpgroup_commit() runs by itself; its registers and
// its shared memory are free again after a warpgroup_wait().
#pragma once

#include <cstdint>

namespace glm::kernels::device {

// Registers that were written may now be read by products.
__device__ inline void warpgroup_begin() {
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}
__device__ inline void warpgroup_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}
// Until at most kPending groups run.
template <int kPending>
__device__ inline void warpgroup_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kPending) : "memory");
}
// Nothing that reads these sums may move in front of this.
template <int kCount>
__device__ inline void hold(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

// What this thread has seen written to shared memory may be read by products.
__device__ inline void shared_is_written() {
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}

// What this thread has seen written to memory by other blocks may be copied by tensor maps.
__device__ inline void memory_is_written() {
  asm volatile("fence.proxy.async.global;\n" ::: "memory");
}

// A right side: rows of 64 numbers (128 bytes), the eight 16-byte pieces of row r in the order
// piece ^ (r % 8). `address` is a multiple of 1,024. Sixteen columns on is + 2, eight rows on + 64.
__device__ inline std::uint64_t right_side(std::uint32_t address) {
  constexpr std::uint64_t kEightRows = 1024 / 16;
  constexpr std::uint64_t kSwizzle128 = 1;
  return (address >> 4U & 0x3FFFU) | 1ULL << 16U | kEightRows << 32U | kSwizzle128 << 62U;
}

// Registers that a warp of this kernel may have from here on; all warps of a warpgroup call it.
template <unsigned kRegisters>
__device__ inline void give_up_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}
template <unsigned kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(kRegisters));
}

// Four 8x8 matrices, turned: lane l passes the shared address of column l%8 of matrix l/8 (16
// bytes each).
__device__ inline void store_matrices_transposed(std::uint32_t column,
                                                 const std::uint32_t (&in)[4]) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(column),
      "r"(in[0]), "r"(in[1]), "r"(in[2]), "r"(in[3])
      : "memory");
}

// d[64, n] += a[64, 16] * b[n, 16]^T. Warp w of the four has rows 16w and on; its lane l holds of a
// rows l/4 and l/4 + 8 at columns 2(l%4), + 1 (words 0 and 1) and eight further (2 and 3); of d,
// for each eight columns, row l/4 at columns 2(l%4), + 1, then row l/4 + 8.
//
// Sixteen sums are sixteen operands; what follows them is numbered from there on.
#define GLM_SUMS_4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define GLM_SUMS_16(d, i) \
  GLM_SUMS_4(d, i), GLM_SUMS_4(d, i + 4), GLM_SUMS_4(d, i + 8), GLM_SUMS_4(d, i + 12)
#define GLM_SUMS_32(d, i) GLM_SUMS_16(d, i), GLM_SUMS_16(d, i + 16)
#define GLM_OPERANDS_0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define GLM_OPERANDS_16 \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GLM_OPERANDS_32 \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define GLM_OPERANDS_48 \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GLM_OPERANDS_64 \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define GLM_WGMMA(columns, operands, others)                                              \
  "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                          \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" operands "}, " others \
  ", add, 1, 1, 0;\n}\n"

template <int kColumns>
__device__ __forceinline__ void multiply_64(float (&d)[kColumns / 2], const std::uint32_t (&a)[4],
                                            std::uint64_t b) {
  if constexpr (kColumns == 16) {
    asm volatile(GLM_WGMMA("16", "%0, %1, %2, %3, %4, %5, %6, %7", "{%8, %9, %10, %11}, %12")
                 : GLM_SUMS_4(d, 0), GLM_SUMS_4(d, 4)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 32) {
    asm volatile(GLM_WGMMA("32", GLM_OPERANDS_0, "{%16, %17, %18, %19}, %20")
                 : GLM_SUMS_16(d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 48) {
    asm volatile(GLM_WGMMA("48", GLM_OPERANDS_0 ", %16, %17, %18, %19, %20, %21, %22, %23",
                           "{%24, %25, %26, %27}, %28")
                 : GLM_SUMS_16(d, 0), GLM_SUMS_4(d, 16), GLM_SUMS_4(d, 20)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 64) {
    asm volatile(GLM_WGMMA("64", GLM_OPERANDS_0 ", " GLM_OPERANDS_16, "{%32, %33, %34, %35}, %36")
                 : GLM_SUMS_32(d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 80) {
    asm volatile(
        GLM_WGMMA("80",
                  GLM_OPERANDS_0 ", " GLM_OPERANDS_16 ", %32, %33, %34, %35, %36, %37, %38, %39",
                  "{%40, %41, %42, %43}, %44")
        : GLM_SUMS_32(d, 0), GLM_SUMS_4(d, 32), GLM_SUMS_4(d, 36)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 96) {
    asm volatile(GLM_WGMMA("96", GLM_OPERANDS_0 ", " GLM_OPERANDS_16 ", " GLM_OPERANDS_32,
                           "{%48, %49, %50, %51}, %52")
                 : GLM_SUMS_32(d, 0), GLM_SUMS_16(d, 32)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 128) {
    asm volatile(
        GLM_WGMMA("128",
                  GLM_OPERANDS_0 ", " GLM_OPERANDS_16 ", " GLM_OPERANDS_32 ", " GLM_OPERANDS_48,
                  "{%64, %65, %66, %67}, %68")
        : GLM_SUMS_32(d, 0), GLM_SUMS_32(d, 32)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 144) {
    asm volatile(
        GLM_WGMMA("144",
                  GLM_OPERANDS_0 ", " GLM_OPERANDS_16 ", " GLM_OPERANDS_32 ", " GLM_OPERANDS_48
                                 ", %64, %65, %66, %67, %68, %69, %70, %71",
                  "{%72, %73, %74, %75}, %76")
        : GLM_SUMS_32(d, 0), GLM_SUMS_32(d, 32), GLM_SUMS_4(d, 64), GLM_SUMS_4(d, 68)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else if constexpr (kColumns == 160) {
    asm volatile(GLM_WGMMA("160",
                           GLM_OPERANDS_0 ", " GLM_OPERANDS_16 ", " GLM_OPERANDS_32
                                          ", " GLM_OPERANDS_48 ", " GLM_OPERANDS_64,
                           "{%80, %81, %82, %83}, %84")
                 : GLM_SUMS_32(d, 0), GLM_SUMS_32(d, 32), GLM_SUMS_16(d, 64)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  } else {
    static_assert(kColumns == 64, "no such product");
  }
}

// The same with a left side in shared memory that lies as a[16, 64], as right_side() has it;
// sixteen of its rows on is + 128.
#define GLM_WGMMA_ACROSS(columns, operands, others)                                       \
  "{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                          \
  "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" operands "}, " others \
  ", add, 1, 1, 1, 0;\n}\n"
template <int kColumns>
__device__ __forceinline__ void multiply_64_across(float (&d)[kColumns / 2], std::uint64_t a,
                                                   std::uint64_t b) {
  if constexpr (kColumns == 16) {
    asm volatile(GLM_WGMMA_ACROSS("16", "%0, %1, %2, %3, %4, %5, %6, %7", "%8, %9")
                 : GLM_SUMS_4(d, 0), GLM_SUMS_4(d, 4)
                 : "l"(a), "l"(b));
  } else if constexpr (kColumns == 32) {
    asm volatile(GLM_WGMMA_ACROSS("32", GLM_OPERANDS_0, "%16, %17")
                 : GLM_SUMS_16(d, 0)
                 : "l"(a), "l"(b));
  } else {
    static_assert(kColumns == 64, "no such product");
    asm volatile(GLM_WGMMA_ACROSS("64", GLM_OPERANDS_0 ", " GLM_OPERANDS_16, "%32, %33")
                 : GLM_SUMS_32(d, 0)
                 : "l"(a), "l"(b));
  }
}
#undef GLM_WGMMA_ACROSS
#undef GLM_WGMMA
#undef GLM_OPERANDS_0
#undef GLM_OPERANDS_16
#undef GLM_OPERANDS_32
#undef GLM_OPERANDS_48
#undef GLM_OPERANDS_64
#undef GLM_SUMS_32
#undef GLM_SUMS_16
#undef GLM_SUMS_4

}  // namespace glm::kernels::device
