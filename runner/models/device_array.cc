#include "runner/models/device_array.h"

#include <vector>

#include "base/check.h"

namespace glm::runner {

using kernels::Dtype;

Result<DeviceArray> DeviceArray::allocate(kernels::Ops& ops, Dtype dtype, std::int64_t capacity) {
  DeviceArray array;
  array.dtype_ = dtype;
  array.capacity_ = capacity;
  array.buffer_ =
      GLM_TRY(ops.allocate(static_cast<std::uint64_t>(capacity * kernels::size_bytes(dtype))));
  return array;
}

Result<DeviceArray> DeviceArray::upload(kernels::Ops& ops, std::span<const float> values) {
  const Dtype dtype = ops.activation_dtype();
  DeviceArray array = GLM_TRY(allocate(ops, dtype, static_cast<std::int64_t>(values.size())));
  if (dtype == Dtype::f32) {
    ops.upload(array.buffer_.data(), std::as_bytes(values));
  } else {
    std::vector<std::uint16_t> rounded;
    for (const float value : values) rounded.push_back(kernels::f32_to_bf16(value));
    ops.upload(array.buffer_.data(), std::as_bytes(std::span<const std::uint16_t>(rounded)));
  }
  GLM_TRY(ops.sync());
  return array;
}

kernels::TensorView DeviceArray::view(std::initializer_list<std::int64_t> shape) const {
  kernels::TensorView view(buffer_.data(), dtype_, shape);
  std::int64_t elements = 1;
  for (const std::int64_t size : shape) elements *= size;
  GLM_CHECK(elements <= capacity_);
  return view;
}

Result<DeviceArray> load_vector(WeightLoader& loader, kernels::Ops& ops, const std::string& tensor,
                                std::int64_t size) {
  const std::vector<float> host = GLM_TRY(loader.floats(tensor, {size}));
  return DeviceArray::upload(ops, host);
}

}  // namespace glm::runner
