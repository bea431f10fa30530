// Loads from shared memory by its addresses, in the order in which they stand among other volatile
// assembly, a wait for a barrier say; ordinary stores may move past them.
#pragma once

#include <cstdint>

namespace glm::kernels::cuda {

__device__ inline std::uint32_t shared_word(std::uint32_t address) {
  std::uint32_t word = 0;
  asm volatile("ld.shared.u32 %0, [%1];\n" : "=r"(word) : "r"(address));
  return word;
}
__device__ inline std::uint32_t shared_half(std::uint32_t address) {
  std::uint16_t half = 0;
  asm volatile("ld.shared.u16 %0, [%1];\n" : "=h"(half) : "r"(address));
  return half;
}
__device__ inline uint2 shared_pair(std::uint32_t address) {
  uint2 words;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];\n" : "=r"(words.x), "=r"(words.y) : "r"(address));
  return words;
}
__device__ inline uint4 shared_octets(std::uint32_t address) {
  uint4 words;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(address));
  return words;
}

}  // namespace glm::kernels::cuda
