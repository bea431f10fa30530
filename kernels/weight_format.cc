#include "kernels/weight_format.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/decode.h"

namespace glm::kernels {
namespace {

const void* advanced(const void* from, std::int64_t bytes) {
  return from == nullptr ? nullptr : static_cast<const std::byte*>(from) + bytes;
}

struct FormatRow {
  std::string_view name;
  int bits;          // of an element
  int word_bytes;    // a row is a whole number of these
  Dtype scales[4];   // allowed
  int scale_dtypes;  // how many of them
};

constexpr FormatRow kRows[] = {
    {"f32", 32, 4, {}, 0},
    {"f16", 16, 2, {}, 0},
    {"bf16", 16, 2, {}, 0},
    {"int4_group", 4, 4, {Dtype::bf16, Dtype::f16, Dtype::f32}, 3},
    {"int8_group", 8, 4, {Dtype::bf16, Dtype::f16, Dtype::f32}, 3},
    {"fp8", 8, 1, {Dtype::f32, Dtype::bf16, Dtype::f16, Dtype::f8_e8m0}, 4},
    {"nvfp4", 4, 1, {Dtype::f8_e4m3}, 1},
    {"mxfp4", 4, 1, {Dtype::f8_e8m0}, 1},
};

const FormatRow& row_of(WeightFormat format) {
  return kRows[static_cast<std::size_t>(format)];
}

}  // namespace

std::string_view name(WeightFormat format) {
  return row_of(format).name;
}

std::int64_t WeightLayout::data_row_bytes() const {
  const FormatRow& row = row_of(format);
  const std::int64_t word_bits = row.word_bytes * 8;
  return (cols * row.bits + word_bits - 1) / word_bits * row.word_bytes;
}

std::int64_t WeightLayout::bytes(WeightPart part) const {
  switch (part) {
    case WeightPart::data:
      return rows * data_row_bytes();
    case WeightPart::scales:
      return scale_rows() * scale_row_bytes();
    case WeightPart::zeros:
      return zeros ? rows * groups() : 0;
    case WeightPart::order:
      return ordered ? cols * size_bytes(Dtype::i32) : 0;
    case WeightPart::global:
      return global == GlobalScale::none ? 0 : size_bytes(Dtype::f32);
  }
  return 0;
}

std::int64_t WeightLayout::total_bytes() const {
  std::int64_t sum = 0;
  for (const WeightPart part : kAllWeightParts) sum += bytes(part);
  return sum;
}

WeightView WeightView::row_slice(std::int64_t first, std::int64_t count) const {
  GLM_CHECK(first >= 0 && count >= 0 && first + count <= layout.rows);
  WeightView part = *this;
  part.layout.rows = count;
  part.data = advanced(data, first * layout.data_row_bytes());
  part.zeros = advanced(zeros, first * layout.groups());
  const std::int64_t from_block = row_offset + first;
  part.row_offset = from_block % layout.row_block;
  part.scales = advanced(scales, from_block / layout.row_block * layout.scale_row_bytes());
  return part;
}

WeightView view_of(const WeightLayout& layout, const WeightParts<const void*>& parts) {
  return {.layout = layout,
          .data = parts[0],
          .scales = parts[1],
          .zeros = parts[2],
          .order = parts[3],
          .global = parts[4]};
}

WeightView ExpertsView::expert(std::int64_t index) const {
  GLM_CHECK(index >= 0 && index < experts);
  WeightParts<const void*> own = parts;
  for (const WeightPart part : kAllWeightParts) {
    const void*& first = own[static_cast<std::size_t>(part)];
    first = advanced(first, index * layout.bytes(part));
  }
  return view_of(layout, own);
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
  GLM_CHECK(layout.quantized() == (layout.group > 0));
  GLM_CHECK(layout.integer() || (!layout.zeros && !layout.ordered));
  GLM_CHECK((layout.format == WeightFormat::nvfp4) == (layout.global != GlobalScale::none));
  GLM_CHECK(layout.row_block == 1 || (layout.format == WeightFormat::fp8 && layout.row_block > 1));
  GLM_CHECK(weight.row_offset >= 0 && weight.row_offset < layout.row_block);
  if (layout.quantized()) {
    const FormatRow& row = row_of(layout.format);
    const Dtype* end = row.scales + row.scale_dtypes;
    GLM_CHECK(std::find(row.scales, end, layout.scale_dtype) != end);
  }
  if (layout.rows * layout.cols == 0) return;
  GLM_CHECK(weight.data != nullptr);
  GLM_CHECK(!layout.quantized() || weight.scales != nullptr);
  GLM_CHECK(layout.zeros == (weight.zeros != nullptr));
  GLM_CHECK(layout.ordered == (weight.order != nullptr));
  GLM_CHECK((layout.global != GlobalScale::none) == (weight.global != nullptr));
}

}  // namespace glm::kernels
