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

// This thread arrives at the barrier when all asynchronous copies that it has begun have ended.
__device__ inline void barrier_arrive_when_copied(std::uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];\n" ::"r"(barrier) : "memory");
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
__device__ inline void multiply_64x64(float (&d)[32], const std::uint32_t (&a)[4],
                                      std::uint64_t b) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.eq.u32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
      "{%32, %33, %34, %35}, %36, add, 1, 1, 0;\n"
      "}\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
        "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

// The same for thirty-two columns.
__device__ inline void multiply_64x32(float (&d)[32], const std::uint32_t (&a)[4],
                                      std::uint64_t b) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.eq.u32 add, 0, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}, "
      "{%16, %17, %18, %19}, %20, add, 1, 1, 0;\n"
      "}\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]),
        "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]),
        "+f"(d[14]), "+f"(d[15])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

}  // namespace glm::kernels::device
