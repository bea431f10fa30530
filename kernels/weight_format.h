// How the weight of one linear layer lies in memory.
//
// Many file formats map to these few: reading and repacking (runner/checkpoint/formats) know files,
// arithmetic (kernels) knows only what is here. A new memory format is one row plus one decoder.
//
//   f32, f16, bf16   data [rows, cols] row-major
//   int4_group       data [rows, cols_padded/8] u32: column c of a row in bits 4*(c%8) of word c/8,
//                    stored as q + 8 with q in [-8, 7]; cols_padded = cols rounded up to 8
//                    scales [rows, ceil(cols/group)] bf16 | f16 | f32
//                    the weight is q * scale, rounded to nearest even in the dtype of the scales
//   int8_group       the same with data [rows, cols rounded up to 4] u8, stored as q + 128
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/dtype.h"

namespace glm::kernels {

enum class WeightFormat : std::uint8_t { f32, f16, bf16, int4_group, int8_group };

std::string_view name(WeightFormat format);

// The shape and encoding of a weight; where its bytes are is the view's business.
struct WeightLayout {
  WeightFormat format = WeightFormat::f32;
  std::int64_t rows = 0;            // outputs
  std::int64_t cols = 0;            // inputs
  std::int64_t group = 0;           // columns per scale; 0 for plain formats
  Dtype scale_dtype = Dtype::bf16;  // of quantized formats

  std::int64_t data_row_bytes() const;
  std::int64_t scale_row_bytes() const;  // 0 for plain formats
  std::int64_t data_bytes() const { return rows * data_row_bytes(); }
  std::int64_t scale_bytes() const { return rows * scale_row_bytes(); }
  std::int64_t groups() const { return group == 0 ? 0 : (cols + group - 1) / group; }

  bool quantized() const {
    return format == WeightFormat::int4_group || format == WeightFormat::int8_group;
  }

  // Every weight it can hold is a bf16 number.
  bool exact_in_bf16() const {
    return format == WeightFormat::bf16 || (quantized() && scale_dtype == Dtype::bf16);
  }

  bool operator==(const WeightLayout&) const = default;
};

// One weight. Rows follow each other without gaps.
struct WeightView {
  WeightLayout layout;
  const void* data = nullptr;
  const void* scales = nullptr;  // null for plain formats

  explicit operator bool() const { return data != nullptr; }
  WeightView row_slice(std::int64_t first, std::int64_t count) const;
};

// The same weight of all experts of a layer, one layout for all, expert after expert.
struct ExpertsView {
  WeightLayout layout;  // of one expert
  std::int64_t experts = 0;
  const void* data = nullptr;
  const void* scales = nullptr;

  WeightView expert(std::int64_t index) const;
};

// The exact weights of `count` rows from `first` on, as f32, contiguous: out [count, cols].
void decode_rows(const WeightView& weight, std::int64_t first, std::int64_t count,
                 std::span<float> out);

void check(const WeightView& weight);

}  // namespace glm::kernels
