#include "kernels/cpu/decode.h"

#include <algorithm>
#include <array>
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

template <float (*kDecode)(std::uint8_t)>
const std::array<float, 256>& table() {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> all{};
    for (std::size_t code = 0; code < all.size(); ++code) {
      all[code] = kDecode(static_cast<std::uint8_t>(code));
    }
    return all;
  }();
  return values;
}

float scale_at(const WeightLayout& layout, const void* scales, std::int64_t index) {
  switch (layout.scale_dtype) {
    case Dtype::bf16:
      return bf16_to_f32(static_cast<const std::uint16_t*>(scales)[index]);
    case Dtype::f16:
      return f16_to_f32(static_cast<const std::uint16_t*>(scales)[index]);
    case Dtype::f8_e4m3:
      return f8_e4m3_to_f32(static_cast<const std::uint8_t*>(scales)[index]);
    case Dtype::f8_e8m0:
      return f8_e8m0_to_f32(static_cast<const std::uint8_t*>(scales)[index]);
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

// The unsigned integer of stored column c, counted from the start of its row.
int code_at(const std::byte* data, std::int64_t c, bool four_bits) {
  if (!four_bits) return std::to_integer<int>(data[c]);
  return std::to_integer<int>(data[c / 2]) >> (4 * (c % 2)) & 15;
}

void decode_integer_row(const WeightView& weight, std::int64_t row, float* out) {
  const WeightLayout& layout = weight.layout;
  const auto* data = row_at<std::byte>(weight.data, row, layout.data_row_bytes());
  const auto* zeros = static_cast<const std::uint8_t*>(weight.zeros);
  const auto* order = static_cast<const std::int32_t*>(weight.order);
  const bool four_bits = layout.format == WeightFormat::int4_group;
  const bool fast = four_bits && layout.scale_dtype == Dtype::bf16 && layout.group % 8 == 0 &&
                    zeros == nullptr && order == nullptr;
  for (std::int64_t group = 0; group < layout.groups(); ++group) {
    const std::int64_t first = group * layout.group;
    const std::int64_t end = std::min(first + layout.group, layout.cols);
    const std::int64_t at = row * layout.groups() + group;
    const float scale = scale_at(layout, weight.scales, at);
    if (fast && std::isfinite(scale)) {
      decode_int4_bf16(reinterpret_cast<const std::uint32_t*>(data) + first / 8, end - first, scale,
                       out + first);
      continue;
    }
    const int zero = zeros != nullptr ? zeros[at] : (four_bits ? 8 : 128);
    for (std::int64_t c = first; c < end; ++c) {
      const auto q = static_cast<float>(code_at(data, c, four_bits) - zero);
      out[order == nullptr ? c : order[c]] = round_to(layout.scale_dtype, q * scale);
    }
  }
}

void decode_fp8_row(const WeightView& weight, std::int64_t row, float* out) {
  const WeightLayout& layout = weight.layout;
  const auto* data = row_at<std::uint8_t>(weight.data, row, layout.data_row_bytes());
  const std::array<float, 256>& value_of = table<&f8_e4m3_to_f32>();
  const std::int64_t scale_row = (weight.row_offset + row) / layout.row_block;
  for (std::int64_t group = 0; group < layout.groups(); ++group) {
    const float scale = scale_at(layout, weight.scales, scale_row * layout.groups() + group);
    const std::int64_t end = std::min((group + 1) * layout.group, layout.cols);
    for (std::int64_t c = group * layout.group; c < end; ++c) out[c] = value_of[data[c]] * scale;
  }
}

// Of the two columns in a byte one.
float even_e2m1(std::uint8_t byte) {
  const unsigned bits = byte;
  return e2m1_to_f32(static_cast<std::uint8_t>((bits >> 4U & 8U) | (bits >> 1U & 7U)));
}
float odd_e2m1(std::uint8_t byte) {
  const unsigned bits = byte;
  return e2m1_to_f32(static_cast<std::uint8_t>((bits << 3U & 8U) | (bits >> 4U & 7U)));
}

void decode_fp4_row(const WeightView& weight, std::int64_t row, float* out) {
  const WeightLayout& layout = weight.layout;
  const auto* data = row_at<std::uint8_t>(weight.data, row, layout.data_row_bytes());
  const std::array<float, 256>& even = table<&even_e2m1>();
  const std::array<float, 256>& odd = table<&odd_e2m1>();
  const float global =
      layout.global == GlobalScale::none ? 1.0F : *static_cast<const float*>(weight.global);
  for (std::int64_t group = 0; group < layout.groups(); ++group) {
    const float block = scale_at(layout, weight.scales, row * layout.groups() + group);
    const float scale = layout.global == GlobalScale::divides ? block / global : block * global;
    const std::int64_t end = std::min((group + 1) * layout.group, layout.cols);
    for (std::int64_t c = group * layout.group; c < end; ++c) {
      out[c] = (c % 2 == 0 ? even : odd)[data[c / 2]] * scale;
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
      return decode_integer_row(weight, row, out);
    case WeightFormat::fp8:
      return decode_fp8_row(weight, row, out);
    case WeightFormat::nvfp4:
    case WeightFormat::mxfp4:
      return decode_fp4_row(weight, row, out);
  }
}

}  // namespace glm::kernels::cpu
