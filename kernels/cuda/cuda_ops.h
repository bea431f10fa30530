// The operations of kernels/ops.h on one NVIDIA GPU, in bf16 activations. No CUDA type appears
// here, so callers compile without a toolkit. Whoever just wants the backend calls make_cuda_ops().
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"

namespace glm::kernels::cuda {

struct CudaOptions {
  int device_index = 0;
  // Forces a variant of the products (kernels/cuda/product.h) where it supports the arguments:
  // "wgmma", "groups", "bulk", "stream", "tiles", "naive". For tests and for bisecting wrong
  // answers.
  std::string variant = {};
};

// Errc::device if the device cannot be used.
Result<std::unique_ptr<Ops>> open_device(CudaOptions options);

}  // namespace glm::kernels::cuda
