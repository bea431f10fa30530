#include "runner/models/device_weight.h"

#include <vector>

#include "base/check.h"

namespace glm::runner {

using kernels::Dtype;

Result<DeviceWeight> DeviceWeight::upload(kernels::Ops& ops, const HostWeight& host) {
  DeviceWeight weight;
  weight.layout_ = host.layout;
  weight.experts_ = host.experts;
  for (std::size_t i = 0; i < kernels::kWeightParts; ++i) {
    if (host.parts[i].empty()) continue;
    weight.parts_[i] = GLM_TRY(ops.allocate(host.parts[i].size()));
    ops.upload(weight.parts_[i].data(), host.parts[i].span());
  }
  GLM_TRY(ops.sync());
  return weight;
}

kernels::WeightParts<const void*> DeviceWeight::addresses() const {
  kernels::WeightParts<const void*> all = {};
  for (std::size_t i = 0; i < kernels::kWeightParts; ++i) all[i] = parts_[i].data();
  return all;
}

kernels::WeightView DeviceWeight::view() const {
  GLM_CHECK(experts_ == 1);
  return kernels::view_of(layout_, addresses());
}

kernels::ExpertsView DeviceWeight::experts() const {
  return {.layout = layout_, .experts = experts_, .parts = addresses()};
}

std::uint64_t DeviceWeight::size_bytes() const {
  std::uint64_t sum = 0;
  for (const kernels::Buffer& part : parts_) sum += part.size_bytes();
  return sum;
}

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

Result<DeviceWeight> load_weight(WeightLoader& loader, kernels::Ops& ops, const std::string& module,
                                 WeightShape shape) {
  const HostWeight host = GLM_TRY(loader.weight(module, shape));
  return DeviceWeight::upload(ops, host);
}

Result<DeviceArray> load_vector(WeightLoader& loader, kernels::Ops& ops, const std::string& tensor,
                                std::int64_t size) {
  const std::vector<float> host = GLM_TRY(loader.floats(tensor, {size}));
  return DeviceArray::upload(ops, host);
}

}  // namespace glm::runner
