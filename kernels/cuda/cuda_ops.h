// Operations on one NVIDIA GPU, in bf16 activations. So far the first few of kernels/ops.h; it
// becomes an Ops when the others are there. No CUDA type appears here, so callers compile without a
// toolkit.
//
// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "kernels/buffer.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/rms_norm.h"

namespace glm::kernels::cuda {

class CudaOps {
 public:
  // Errc::device if the device cannot be used.
  static Result<std::unique_ptr<CudaOps>> open(int device_index);
  virtual ~CudaOps() = default;

  virtual Result<Buffer> allocate(std::uint64_t size_bytes) = 0;
  virtual void upload(void* target, std::span<const std::byte> source) = 0;
  virtual void download(std::span<std::byte> target, const void* source) = 0;

  // Waits. Reports the first failure since the last sync, with the name of the operation.
  virtual Status sync() = 0;

  virtual void embedding(const Embedding& args) = 0;  // bf16 table and out
  virtual void linear(const Linear& args) = 0;        // bf16 weight and x; out bf16 or f32
  virtual void rms_norm(const RmsNorm& args) = 0;
};

}  // namespace glm::kernels::cuda
