// Random weights of every memory format, of about size one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

// A memory format in a form that fits any shape.
struct FormatCase {
  std::string name;
  WeightLayout layout;        // rows and cols to be filled in; group and row_block 0: all of them
  bool least_scales = false;  // the least of e4m3, for weights of the usual size
};

inline std::vector<FormatCase> all_formats() {
  using F = WeightFormat;
  using D = Dtype;
  const auto row = [](const char* name, WeightLayout layout) { return FormatCase{name, layout}; };
  return {
      row("f32", {.format = F::f32}),
      row("f16", {.format = F::f16}),
      row("bf16", {.format = F::bf16}),
      row("int4_g32", {.format = F::int4_group, .group = 32}),
      row("int4_g32_zeros", {.format = F::int4_group, .group = 32, .zeros = true}),
      row("int4_g128", {.format = F::int4_group, .group = 128}),
      row("int4_g96", {.format = F::int4_group, .group = 96}),
      row("int4_row", {.format = F::int4_group, .group = 0}),
      row("int4_g5_f16", {.format = F::int4_group, .group = 5, .scale_dtype = D::f16}),
      row("int4_g64_f16_zeros",
          {.format = F::int4_group, .group = 64, .scale_dtype = D::f16, .zeros = true}),
      row("int4_row_f32", {.format = F::int4_group, .group = 0, .scale_dtype = D::f32}),
      row("int4_ordered", {.format = F::int4_group, .group = 32, .zeros = true, .ordered = true}),
      row("int8_g128", {.format = F::int8_group, .group = 128}),
      row("int8_row_zeros_f32",
          {.format = F::int8_group, .group = 0, .scale_dtype = D::f32, .zeros = true}),
      row("int8_g7_ordered", {.format = F::int8_group, .group = 7, .ordered = true}),
      row("fp8_tensor", {.format = F::fp8, .group = 0, .scale_dtype = D::f32, .row_block = 0}),
      row("fp8_channel", {.format = F::fp8, .group = 0, .scale_dtype = D::bf16}),
      row("fp8_block", {.format = F::fp8, .group = 128, .scale_dtype = D::f32, .row_block = 128}),
      row("fp8_block_small",
          {.format = F::fp8, .group = 24, .scale_dtype = D::f16, .row_block = 5}),
      row("fp8_e8m0", {.format = F::fp8, .group = 32, .scale_dtype = D::f8_e8m0}),
      row("nvfp4_multiplies", {.format = F::nvfp4,
                               .group = 16,
                               .scale_dtype = D::f8_e4m3,
                               .global = GlobalScale::multiplies}),
      row("nvfp4_divides", {.format = F::nvfp4,
                            .group = 16,
                            .scale_dtype = D::f8_e4m3,
                            .global = GlobalScale::divides}),
      {.name = "nvfp4_least",
       .layout = {.format = F::nvfp4,
                  .group = 16,
                  .scale_dtype = D::f8_e4m3,
                  .global = GlobalScale::multiplies},
       .least_scales = true},
      row("mxfp4", {.format = F::mxfp4, .group = 32, .scale_dtype = D::f8_e8m0}),
  };
}

// One of them.
inline FormatCase format_of(std::string_view name) {
  const std::vector<FormatCase> all = all_formats();
  const auto named = [&](const FormatCase& format) { return format.name == name; };
  const auto found = std::find_if(all.begin(), all.end(), named);
  GLM_CHECK(found != all.end());
  return *found;
}

class RandomWeight {
 public:
  using Bytes = std::vector<std::uint8_t>;

  RandomWeight(const FormatCase& format, std::int64_t rows, std::int64_t cols, std::mt19937& random,
               std::int64_t count = 1)
      : layout_(format.layout), least_scales_(format.least_scales), count_(count) {
    layout_.rows = rows;
    layout_.cols = cols;
    if (layout_.format > WeightFormat::bf16 && layout_.group == 0) layout_.group = cols;
    if (layout_.row_block == 0) layout_.row_block = std::max<std::int64_t>(rows, 2);
    for (std::int64_t i = 0; i < count; ++i) append_one(random);
  }

  const WeightLayout& layout() const { return layout_; }
  std::int64_t count() const { return count_; }
  const Bytes& part(WeightPart part) const { return parts_[static_cast<std::size_t>(part)]; }

  ExpertsView host() const {
    WeightParts<const void*> addresses = {};
    for (std::size_t i = 0; i < kWeightParts; ++i) {
      addresses[i] = parts_[i].empty() ? nullptr : parts_[i].data();
    }
    return {.layout = layout_, .experts = count_, .parts = addresses};
  }
  std::vector<float> decoded(std::int64_t index) const {
    std::vector<float> values(static_cast<std::size_t>(layout_.rows * layout_.cols));
    decode_rows(host().expert(index), 0, layout_.rows, values);
    return values;
  }

 private:
  Bytes& mutable_part(WeightPart part) { return parts_[static_cast<std::size_t>(part)]; }
  template <typename T>
  void put(WeightPart part, T value) {
    Bytes& bytes = mutable_part(part);
    bytes.resize(bytes.size() + sizeof(T));
    std::memcpy(bytes.data() + bytes.size() - sizeof(T), &value, sizeof(T));
  }
  static float number(std::mt19937& random, float low, float high) {
    return low + (high - low) * static_cast<float>(random() >> 8U) * 0x1p-24F;
  }

  // Sizes that make weights of about one: integers reach 8 or 128, e4m3 448, e2m1 6.
  float scale_size() const {
    switch (layout_.format) {
      case WeightFormat::int4_group:
        return 0.15F;
      case WeightFormat::int8_group:
        return 0.01F;
      case WeightFormat::fp8:
        return 0.1F;
      default:
        return 0.25F;
    }
  }

  void append_one(std::mt19937& random) {
    append_data(random);
    for (std::int64_t i = 0; i < layout_.scale_rows() * layout_.groups(); ++i) {
      append_scale(number(random, 0.5F, 1.5F) * scale_size());
    }
    if (layout_.zeros) {
      const unsigned codes = layout_.format == WeightFormat::int4_group ? 16 : 256;
      for (std::int64_t i = 0; i < layout_.rows * layout_.groups(); ++i) {
        put(WeightPart::zeros, static_cast<std::uint8_t>(random() % codes));
      }
    }
    if (layout_.ordered) {
      std::vector<std::int32_t> order(static_cast<std::size_t>(layout_.cols));
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      for (const std::int32_t column : order) put(WeightPart::order, column);
    }
    if (layout_.global == GlobalScale::multiplies) {
      put(WeightPart::global, least_scales_ ? 6.29F : 0.0123F);
    }
    if (layout_.global == GlobalScale::divides) put(WeightPart::global, 81.3F);
  }

  void append_data(std::mt19937& random) {
    const WeightFormat format = layout_.format;
    if (format <= WeightFormat::bf16) {
      for (std::int64_t i = 0; i < layout_.rows * layout_.cols; ++i) {
        const float value = number(random, -1, 1);
        if (format == WeightFormat::f32) put(WeightPart::data, value);
        if (format == WeightFormat::f16) put(WeightPart::data, f32_to_f16(value));
        if (format == WeightFormat::bf16) put(WeightPart::data, f32_to_bf16(value));
      }
      return;
    }
    for (std::int64_t i = 0; i < layout_.bytes(WeightPart::data); ++i) {
      auto byte = static_cast<std::uint8_t>(random());
      if (format == WeightFormat::fp8) {  // of size 2^-6 .. 30
        byte = static_cast<std::uint8_t>((byte & 0x80U) | (random() % 0x58U));
      }
      put(WeightPart::data, byte);
    }
  }

  void append_scale(float scale) {
    switch (layout_.scale_dtype) {
      case Dtype::f16:
        return put(WeightPart::scales, f32_to_f16(scale));
      case Dtype::bf16:
        return put(WeightPart::scales, f32_to_bf16(scale));
      case Dtype::f8_e8m0:
        return put(WeightPart::scales,
                   static_cast<std::uint8_t>(127 + std::lround(std::log2(scale))));
      case Dtype::f8_e4m3: {  // 2 .. 30, or to 15 * 2^-9, with the global scale in mind
        const auto step = static_cast<unsigned>(scale * 64.0F);
        return put(WeightPart::scales,
                   static_cast<std::uint8_t>(least_scales_ ? 1U + step % 15U : 0x40U + step));
      }
      default:
        return put(WeightPart::scales, scale);
    }
  }

  WeightLayout layout_;
  bool least_scales_;
  std::int64_t count_;
  WeightParts<Bytes> parts_;
};

}  // namespace glm::kernels
