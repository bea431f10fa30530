// What a device can do at best: the denominators of benchmarks, measured as operations beside those
// that are judged by them.
//
// read_memory: out = the sum of all words of `data`, modulo 2^32
//
//   data        contiguous bytes, 16-byte aligned; to say something, far more than any cache holds
//   size_bytes  a multiple of 16, 0 and more
//   out         u32
//
// multiply: multiplies and adds what is in registers, with the units that linear layers use
//
//   out         u64: how many floating-point operations that were. On a GPU products of bf16 by
//               mma.sync, which every GPU since compute capability 8.0 has
//
// Cost     read_memory size_bytes of reading; multiply some milliseconds on any device.
// Stream-ordered, allocates nothing, safe inside graph capture.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace glm::kernels {

struct ReadMemory {
  std::uint32_t* out = nullptr;
  const void* data = nullptr;
  std::uint64_t size_bytes = 0;
};

struct Multiply {
  std::uint64_t* out = nullptr;
};

inline void check(const ReadMemory& a) {
  GLM_CHECK(a.out != nullptr && a.size_bytes % 16 == 0);
  GLM_CHECK(a.data != nullptr || a.size_bytes == 0);
}

inline void check(const Multiply& a) {
  GLM_CHECK(a.out != nullptr);
}

}  // namespace glm::kernels
