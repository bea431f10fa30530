#include "kernels/cpu/decode.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/vector_loops.h"

namespace glm::kernels::cpu {
namespace {

template <typename T>
const T* row_at(const void* base, std::int64_t row, std::int64_t row_bytes) {
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(base) + row * row_bytes);
}

float scale_at(const WeightLayout& layout, const void* scales, std::int64_t index) {
  switch (layout.scale_dtype) {
    case Dtype::bf16:
      return bf16_to_f32(static_cast<const std::uint16_t*>(scales)[index]);
    case Dtype::f16:
      return f16_to_f32(static_cast<const std::uint16_t*>(scales)[index]);
    default:
      return static_cast<const float*>(scales)[index];
  }
}

float round_to(Dtype dtype, float value) {
  switch (dtype) {
    case Dtype::bf16:
      return bf16_to_f32(f32_to_bf16(value));
    case Dtype::f16:
      return f16_to_f32(f32_to_f16(value));
    default:
      return value;
  }
}

// The integer of column c, counted from the start of its row.
int quantized_at(WeightFormat format, const std::byte* data, std::int64_t c) {
  if (format == WeightFormat::int8_group) return std::to_integer<int>(data[c]) - 128;
  return (std::to_integer<int>(data[c / 2]) >> (4 * (c % 2)) & 15) - 8;
}

void decode_quantized_row(const WeightView& weight, std::int64_t row, float* out) {
  const WeightLayout& layout = weight.layout;
  const auto* data = row_at<std::byte>(weight.data, row, layout.data_row_bytes());
  const bool fast = layout.format == WeightFormat::int4_group &&
                    layout.scale_dtype == Dtype::bf16 && layout.group % 8 == 0;
  for (std::int64_t group = 0; group < layout.groups(); ++group) {
    const std::int64_t first = group * layout.group;
    const std::int64_t end = std::min(first + layout.group, layout.cols);
    const float scale = scale_at(layout, weight.scales, row * layout.groups() + group);
    if (fast && std::isfinite(scale)) {
      decode_int4_bf16(reinterpret_cast<const std::uint32_t*>(data) + first / 8, end - first, scale,
                       out + first);
      continue;
    }
    for (std::int64_t c = first; c < end; ++c) {
      const auto q = static_cast<float>(quantized_at(layout.format, data, c));
      out[c] = round_to(layout.scale_dtype, q * scale);
    }
  }
}

}  // namespace

void decode_row(const WeightView& weight, std::int64_t row, float* out) {
  const WeightLayout& layout = weight.layout;
  const std::int64_t row_bytes = layout.data_row_bytes();
  switch (layout.format) {
    case WeightFormat::f32:
      std::memcpy(out, row_at<float>(weight.data, row, row_bytes),
                  static_cast<std::size_t>(row_bytes));
      return;
    case WeightFormat::f16: {
      const auto* values = row_at<std::uint16_t>(weight.data, row, row_bytes);
      for (std::int64_t c = 0; c < layout.cols; ++c) out[c] = f16_to_f32(values[c]);
      return;
    }
    case WeightFormat::bf16:
      return decode_bf16(row_at<std::uint16_t>(weight.data, row, row_bytes), layout.cols, out);
    case WeightFormat::int4_group:
    case WeightFormat::int8_group:
      return decode_quantized_row(weight, row, out);
  }
}

}  // namespace glm::kernels::cpu
