#include "kernels/weight_format.h"

#include "base/check.h"
#include "kernels/cpu/decode.h"

namespace glm::kernels {

std::string_view name(WeightFormat format) {
  switch (format) {
    case WeightFormat::f32:
      return "f32";
    case WeightFormat::f16:
      return "f16";
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::int4_group:
      return "int4_group";
    case WeightFormat::int8_group:
      return "int8_group";
  }
  return "?";
}

std::int64_t WeightLayout::data_row_bytes() const {
  switch (format) {
    case WeightFormat::f32:
      return cols * 4;
    case WeightFormat::f16:
      return cols * 2;
    case WeightFormat::bf16:
      return cols * 2;
    case WeightFormat::int4_group:
      return (cols + 7) / 8 * 4;
    case WeightFormat::int8_group:
      return (cols + 3) / 4 * 4;
  }
  return 0;
}

std::int64_t WeightLayout::scale_row_bytes() const {
  return groups() * size_bytes(scale_dtype);
}

WeightView WeightView::row_slice(std::int64_t first, std::int64_t count) const {
  GLM_CHECK(first >= 0 && count >= 0 && first + count <= layout.rows);
  WeightView part = *this;
  part.layout.rows = count;
  part.data = static_cast<const std::byte*>(data) + first * layout.data_row_bytes();
  if (scales != nullptr) {
    part.scales = static_cast<const std::byte*>(scales) + first * layout.scale_row_bytes();
  }
  return part;
}

WeightView ExpertsView::expert(std::int64_t index) const {
  GLM_CHECK(index >= 0 && index < experts);
  WeightView one{.layout = layout};
  one.data = static_cast<const std::byte*>(data) + index * layout.data_bytes();
  if (scales != nullptr) {
    one.scales = static_cast<const std::byte*>(scales) + index * layout.scale_bytes();
  }
  return one;
}

void decode_rows(const WeightView& weight, std::int64_t first, std::int64_t count,
                 std::span<float> out) {
  check(weight);
  const WeightView part = weight.row_slice(first, count);
  const std::int64_t cols = weight.layout.cols;
  GLM_CHECK(static_cast<std::int64_t>(out.size()) == count * cols);
  for (std::int64_t row = 0; row < count; ++row) {
    cpu::decode_row(part, row, out.data() + row * cols);
  }
}

void check(const WeightView& weight) {
  const WeightLayout& layout = weight.layout;
  GLM_CHECK(layout.rows >= 0 && layout.cols >= 0);
  GLM_CHECK(weight.data != nullptr || layout.rows * layout.cols == 0);
  GLM_CHECK(layout.quantized() == (layout.group > 0));
  if (layout.quantized()) {
    GLM_CHECK(weight.scales != nullptr || layout.rows * layout.cols == 0);
    GLM_CHECK(layout.scale_dtype == Dtype::bf16 || layout.scale_dtype == Dtype::f16 ||
              layout.scale_dtype == Dtype::f32);
  }
}

}  // namespace glm::kernels
