// How the weight of one linear layer lies in memory.
//
// Many file formats map to these few: reading and repacking (runner/checkpoint/formats) know files,
// arithmetic (kernels) knows only what is here. A new memory format is one row plus one decoder.
//
//   f32, f16, bf16  data [rows, cols] row-major
//
//   int4_group      data   [rows, ceil(cols/8)] u32: column c of a row is the unsigned u in bits
//                          4*(c%8) of word c/8; what lies beyond the last column is undefined
//                   scales [rows, ceil(cols/group)] bf16 | f16 | f32
//                   zeros  [rows, ceil(cols/group)] u8, or absent: 8
//                   weight (u - zero) * scale, rounded to nearest even in the dtype of the scales
//   int8_group      the same with data [rows, cols rounded up to 4] u8, and 128 for absent zeros
//
//   fp8             data   [rows, cols] e4m3
//                   scales [ceil(rows/row_block), ceil(cols/group)] f32 | bf16 | f16 | e8m0
//                   weight e4m3 * scale, one f32 product
//   nvfp4           data   [rows, cols/2] u8: e2m1, sign and magnitude apart: of the even column in
//                          bit 7 and bits 3..1, of the odd one in bit 0 and bits 6..4
//                   scales [rows, ceil(cols/16)] e4m3
//                   global [1] f32
//                   weight e2m1 * s, two f32 roundings, where s = scale * global or scale / global
//   mxfp4           data as nvfp4, scales [rows, ceil(cols/32)] e8m0; weight e2m1 * scale, exact
//
// Activation order (integer formats): stored column c is column order[c] of the weight, so that the
// columns of a group lie together; order [cols] i32 is a permutation.
//
// Reference libraries round the product of the floating formats once more, to bf16; whoever wants
// their numbers does the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/dtype.h"

namespace glm::kernels {

enum class WeightFormat : std::uint8_t {
  f32,
  f16,
  bf16,
  int4_group,
  int8_group,
  fp8,
  nvfp4,
  mxfp4,
};

std::string_view name(WeightFormat format);

// The blocks of memory one weight is made of; an absent one is null and has no bytes.
enum class WeightPart : std::uint8_t { data, scales, zeros, order, global };
constexpr std::size_t kWeightParts = 5;
template <typename T>
using WeightParts = std::array<T, kWeightParts>;
constexpr std::array<WeightPart, kWeightParts> kAllWeightParts = {
    WeightPart::data, WeightPart::scales, WeightPart::zeros, WeightPart::order, WeightPart::global};

// What the one scale of an nvfp4 tensor does to those of its blocks: exporters disagree.
enum class GlobalScale : std::uint8_t { none, multiplies, divides };

// The shape and encoding of a weight; where its bytes are is the view's business.
struct WeightLayout {
  WeightFormat format = WeightFormat::f32;
  std::int64_t rows = 0;            // outputs
  std::int64_t cols = 0;            // inputs
  std::int64_t group = 0;           // columns per scale; 0 for plain formats
  Dtype scale_dtype = Dtype::bf16;  // of quantized formats
  std::int64_t row_block = 1;       // rows per scale; more than one for fp8 alone
  bool zeros = false;               // zero points are stored
  bool ordered = false;             // columns are stored in activation order
  GlobalScale global = GlobalScale::none;

  std::int64_t data_row_bytes() const;
  std::int64_t groups() const { return group == 0 ? 0 : (cols + group - 1) / group; }
  std::int64_t scale_rows() const { return group == 0 ? 0 : (rows + row_block - 1) / row_block; }
  std::int64_t scale_row_bytes() const { return groups() * size_bytes(scale_dtype); }

  std::int64_t bytes(WeightPart part) const;  // of the whole weight; 0 where it is absent
  std::int64_t total_bytes() const;

  bool quantized() const { return format > WeightFormat::bf16; }
  bool integer() const {
    return format == WeightFormat::int4_group || format == WeightFormat::int8_group;
  }

  // Every weight it can hold is a bf16 number.
  bool exact_in_bf16() const {
    return format == WeightFormat::bf16 || format == WeightFormat::mxfp4 ||
           (integer() && scale_dtype == Dtype::bf16);
  }

  // Rows of weights in this layout may follow each other: nothing belongs to a weight as a whole.
  bool stacks() const { return !ordered && global == GlobalScale::none; }

  bool operator==(const WeightLayout&) const = default;
};

// One weight. Rows follow each other without gaps.
struct WeightView {
  WeightLayout layout;
  const void* data = nullptr;
  const void* scales = nullptr;
  const void* zeros = nullptr;
  const void* order = nullptr;
  const void* global = nullptr;
  std::int64_t row_offset = 0;  // of row 0 within its block of scales; less than row_block

  explicit operator bool() const { return data != nullptr; }
  WeightView row_slice(std::int64_t first, std::int64_t count) const;
};

WeightView view_of(const WeightLayout& layout, const WeightParts<const void*>& parts);

// The same weight of all experts of a layer, one layout for all, expert after expert in each part.
struct ExpertsView {
  WeightLayout layout;  // of one expert
  std::int64_t experts = 0;
  WeightParts<const void*> parts = {};

  WeightView expert(std::int64_t index) const;
};

// The exact weights of `count` rows from `first` on, as f32, contiguous: out [count, cols].
void decode_rows(const WeightView& weight, std::int64_t first, std::int64_t count,
                 std::span<float> out);

void check(const WeightView& weight);

}  // namespace glm::kernels
