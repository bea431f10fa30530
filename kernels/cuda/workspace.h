// Device memory that operations use while they run, allocated once.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/buffer.h"
#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/sample_workspace.h"
#include "kernels/ops.h"

namespace glm::kernels::cuda {

class Workspace {
 public:
  static std::uint64_t size_bytes(const WorkspaceBounds& bounds);
  Workspace() = default;
  Workspace(const WorkspaceBounds& bounds, Buffer memory);

  // Before its first use.
  cudaError_t clear(cudaStream_t stream) const;

  const WorkspaceBounds& bounds() const { return bounds_; }
  bool holds(const MoeMlp& a) const;
  bool holds(const Sample& a) const;
  MoeWorkspace moe() const { return moe_; }
  SampleWorkspace sample() const { return sample_; }

 private:
  WorkspaceBounds bounds_;
  Buffer memory_;
  MoeWorkspace moe_;
  SampleWorkspace sample_;
};

}  // namespace glm::kernels::cuda
