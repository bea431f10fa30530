// Whether something can be read so many bytes at a time.
#pragma once

#include <cstdint>

namespace glm::kernels::cuda {

inline bool aligned(const void* address, std::uintptr_t bytes = 16) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

}  // namespace glm::kernels::cuda
