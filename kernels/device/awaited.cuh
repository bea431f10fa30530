// Numbers in memory that say by themselves that they have come, for blocks that all run at once
// (sm_70 and later): one block stores them, others look until they are there, and before its next
// use the place is emptied. A word that is there is never kNothing: as two bf16, or as a float,
// that is a NaN which neither conversions nor arithmetic give.
#pragma once

#include <cstdint>

namespace glm::kernels::device {

constexpr std::uint32_t kNothing = 0xFFFFFFFFU;
constexpr uint4 kNothing16 = {kNothing, kNothing, kNothing, kNothing};

__device__ inline void leave_at(std::uint32_t* to, std::uint32_t word) {
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;\n" ::"l"(to), "r"(word) : "memory");
}

__device__ inline void leave_at(uint4* to, const uint4& v) {
  asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %2, %3, %4};\n" ::"l"(to), "r"(v.x),
               "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}

__device__ inline bool has_come(std::uint32_t word) {
  return word != kNothing;
}
__device__ inline bool has_come(const uint2& v) {
  return v.x != kNothing && v.y != kNothing;
}
__device__ inline bool has_come(const uint4& v) {
  return v.x != kNothing && v.y != kNothing && v.z != kNothing && v.w != kNothing;
}

__device__ inline std::uint32_t look_at(const std::uint32_t* from) {
  std::uint32_t v = 0;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];\n" : "=r"(v) : "l"(from) : "memory");
  return v;
}
__device__ inline uint2 look_at(const uint2* from) {
  uint2 v = {};
  asm volatile("ld.relaxed.gpu.global.v2.u32 {%0, %1}, [%2];\n"
               : "=r"(v.x), "=r"(v.y)
               : "l"(from)
               : "memory");
  return v;
}
__device__ inline uint4 look_at(const uint4* from) {
  uint4 v = {};
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from)
               : "memory");
  return v;
}

// Numbers i of kCount, from at(i), where is_own(i); the others are zeros. What should come within
// microseconds and has not after so many looks, ten seconds and more, never will, and the kernel
// ends with an error. No assert(): a function that is called keeps products of warpgroups in the
// same kernel from overlapping.
constexpr unsigned kLooksMax = 1U << 24U;
template <int kCount, typename Number, typename IsOwn, typename At>
__device__ inline void await(Number (&to)[kCount], const IsOwn& is_own, const At& at) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = is_own(i) ? look_at(at(i)) : Number{};
#pragma unroll 1
  for (unsigned looks = 0;; ++looks) {
    bool all = true;
#pragma unroll
    for (int i = 0; i < kCount; ++i) all = all && has_come(to[i]);
    if (all) return;
    if (looks >= kLooksMax) __trap();
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (!has_come(to[i])) to[i] = look_at(at(i));
    }
  }
}

// The same with all numbers looked at again while one is missing: half the code, and who misses
// many does not wait for each by itself.
template <int kCount, typename Number, typename IsOwn, typename At>
__device__ inline void await_together(Number (&to)[kCount], const IsOwn& is_own, const At& at) {
  bool all = false;
#pragma unroll 1
  for (unsigned looks = 0; !all; ++looks) {
    if (looks >= kLooksMax) __trap();
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = is_own(i) ? look_at(at(i)) : Number{};
    all = true;
#pragma unroll
    for (int i = 0; i < kCount; ++i) all = all && has_come(to[i]);
  }
}

}  // namespace glm::kernels::device
