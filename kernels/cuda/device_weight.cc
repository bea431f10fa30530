#include "kernels/cuda/device_weight.h"

#include <bit>

#include "base/check.h"

namespace glm::kernels::cuda {
namespace {

using device::Coding;
using device::ScaleType;

Coding coding_of(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return Coding::f32;
    case WeightFormat::f16:
      return Coding::f16;
    case WeightFormat::bf16:
      return Coding::bf16;
    case WeightFormat::int4_group:
      return Coding::int4;
    case WeightFormat::int8_group:
      return Coding::int8;
    case WeightFormat::fp8:
      return Coding::e4m3;
    case WeightFormat::nvfp4:
    case WeightFormat::mxfp4:
      return Coding::e2m1;
  }
  GLM_CHECK(false);
}

ScaleType scale_type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f16:
      return ScaleType::f16;
    case Dtype::bf16:
      return ScaleType::bf16;
    case Dtype::f8_e4m3:
      return ScaleType::e4m3;
    case Dtype::f8_e8m0:
      return ScaleType::e8m0;
    default:
      return ScaleType::f32;
  }
}

std::uint32_t shift_of(std::int64_t group) {
  const auto size = static_cast<std::uint64_t>(group);
  return std::has_single_bit(size) ? static_cast<std::uint32_t>(std::countr_zero(size)) : 0U;
}

device::Global global_of(GlobalScale scale) {
  if (scale == GlobalScale::multiplies) return device::Global::multiplies;
  return scale == GlobalScale::divides ? device::Global::divides : device::Global::none;
}

}  // namespace

device::Weight device_weight(const WeightView& weight) {
  const WeightLayout& layout = weight.layout;
  GLM_CHECK(layout.cols < (1LL << 31U) && layout.row_block < (1LL << 31U));
  return {.data = static_cast<const std::uint8_t*>(weight.data),
          .scales = weight.scales,
          .zeros = static_cast<const std::uint8_t*>(weight.zeros),
          .order = static_cast<const std::int32_t*>(weight.order),
          .global = static_cast<const float*>(weight.global),
          .row_bytes = layout.data_row_bytes(),
          .row_offset = weight.row_offset,
          .row_block = static_cast<std::uint32_t>(layout.row_block),
          .cols = static_cast<std::uint32_t>(layout.cols),
          .group = static_cast<std::uint32_t>(layout.group),
          .group_shift = shift_of(layout.group),
          .groups = static_cast<std::uint32_t>(layout.groups()),
          .coding = coding_of(layout.format),
          .scale_type = scale_type_of(layout.scale_dtype),
          .global_scale = global_of(layout.global)};
}

device::Weights device_weights(const ExpertsView& experts) {
  const WeightLayout& layout = experts.layout;
  return {.first = device_weight(experts.expert(0)),
          .data_bytes = layout.bytes(WeightPart::data),
          .scales_bytes = layout.bytes(WeightPart::scales),
          .zeros_bytes = layout.bytes(WeightPart::zeros),
          .order_bytes = layout.bytes(WeightPart::order),
          .global_bytes = layout.bytes(WeightPart::global)};
}

device::Weights device_weights(const WeightView& weight) {
  return {.first = device_weight(weight)};
}

}  // namespace glm::kernels::cuda
