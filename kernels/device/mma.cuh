// Tensor-core products of bf16 tiles, and the asynchronous copies that feed them (sm_80 and later).
// Fragment layouts: PTX manual, "Matrix fragments for mma.m16n8k16".
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace glm::kernels::device {

// d[16, 8] += a[16, 16] * b[16, 8]. Lane l holds of d: rows l/4 and l/4 + 8, columns 2(l%4), +1.
__device__ inline void mma_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                   std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// Four 8x8 matrices; lane l passes the shared address of row l%8 of matrix l/8 (16 bytes each).
__device__ inline void load_matrices(std::uint32_t (&out)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row)
               : "memory");
}
// Two, by the addresses of the first 16 lanes.
__device__ inline void load_matrices(std::uint32_t (&out)[2], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];\n"
               : "=r"(out[0]), "=r"(out[1])
               : "r"(row)
               : "memory");
}
__device__ inline void load_matrices_transposed(std::uint32_t (&out)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row)
               : "memory");
}

// 16 bytes to shared memory; zeros if not `valid`, and then nothing is read.
__device__ inline void copy_async_16(std::uint32_t shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
// Eight, likewise.
__device__ inline void copy_async_8(std::uint32_t shared, const void* global, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;\n" ::"r"(shared), "l"(global),
               "r"(valid ? 8 : 0)
               : "memory");
}
__device__ inline void copy_async_4(std::uint32_t shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(shared), "l"(global) : "memory");
}
__device__ inline void copy_async_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
// Until at most kPending of this thread's groups are under way.
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

// Two floats as a pair of bf16, the first in the low half.
__device__ inline std::uint32_t bf16_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

// And back.
__device__ inline float bf16_low(std::uint32_t pair) {
  return __uint_as_float(pair << 16U);
}
__device__ inline float bf16_high(std::uint32_t pair) {
  return __uint_as_float(pair & 0xFFFF0000U);
}

// 2^x to 2 ulp, by the hardware alone: 0 for -infinity, and where the result would be subnormal.
__device__ inline float exp2_approx(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// Where the 8-element chunk `chunk` of a row lies in a tile of shared memory whose rows hold a
// multiple of 8 chunks, in bytes: chunks are permuted inside each 128 bytes, so that the same chunk
// of eight neighbouring rows lies in different banks.
template <int kColumns>
__device__ inline std::uint32_t swizzled(int row, int chunk) {
  static_assert(kColumns % 64 == 0);
  return static_cast<std::uint32_t>(row * kColumns * 2 + (chunk & ~7) * 16 +
                                    ((chunk & 7) ^ (row & 7)) * 16);
}

}  // namespace glm::kernels::device
