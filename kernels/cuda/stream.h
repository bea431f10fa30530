// A CUDA stream, owned.
#pragma once

#include <cuda_runtime_api.h>

#include "base/handle.h"

namespace glm::kernels::cuda {

struct StreamTraits {
  using Raw = cudaStream_t;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw stream) { (void)cudaStreamDestroy(stream); }  // fails only after an error
};
using Stream = Handle<StreamTraits>;

}  // namespace glm::kernels::cuda
