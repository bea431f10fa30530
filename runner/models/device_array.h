// Activations and small tensors where the kernels can see them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/weight_loader.h"

namespace glm::runner {

// Room for `capacity` elements, seen in whatever shape is needed at the moment.
class DeviceArray {
 public:
  DeviceArray() = default;
  static Result<DeviceArray> allocate(kernels::Ops& ops, kernels::Dtype dtype,
                                      std::int64_t capacity);
  // In the dtype of activations.
  static Result<DeviceArray> upload(kernels::Ops& ops, std::span<const float> values);

  kernels::TensorView view(std::initializer_list<std::int64_t> shape) const;
  std::int64_t capacity() const { return capacity_; }
  std::uint64_t size_bytes() const { return buffer_.size_bytes(); }

 private:
  kernels::Buffer buffer_;
  kernels::Dtype dtype_ = kernels::Dtype::f32;
  std::int64_t capacity_ = 0;
};

// A claim of a loader, straight to the device.
Result<DeviceArray> load_vector(WeightLoader& loader, kernels::Ops& ops, const std::string& tensor,
                                std::int64_t size);

}  // namespace glm::runner
