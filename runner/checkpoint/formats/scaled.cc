// One byte per weight under the plain name, and scales beside it:
//
//   M.weight  F8_E4M3 or I8 [out, in]
//   M.weight_scale | M.weight_scale_inv, always a multiplier, the geometry told by its shape:
//       [] [1] [1,1]                       one for the tensor
//       [out] [out,1]                      one per output
//       [ceil(out/br), ceil(in/bc)]        one per block (FP8); [a,1,b,1] as some write it
//       [out, in/g]                        one per group; U8 and F8_E8M0 are powers of two there
//                                          (MXFP8)
//   M.weight_zero_point  I8, of the shape of the scales (int8 only)
//
// compressed-tensors float-, int-, naive- and mxfp8-quantized; ModelOpt FP8; FP8 of the DeepSeek
// kind. Scales of activations (input_scale) are for 8-bit activations and are not read.
#include <algorithm>

#include "base/check.h"
#include "runner/checkpoint/formats/parts.h"
#include "runner/checkpoint/formats/rows.h"

namespace glm::runner::formats {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;
using kernels::WeightPart;

struct Parts {
  const TensorInfo* weight;
  const TensorInfo* scale;
  const TensorInfo* zero_point;
};

Parts parts_of(const Checkpoint& checkpoint, const std::string& module) {
  return {find_part(checkpoint, module, "weight"),
          find_part(checkpoint, module, {"weight_scale", "weight_scale_inv"}),
          find_part(checkpoint, module, "weight_zero_point")};
}

// Rows and columns of weights that share a scale, and how that is called.
struct Geometry {
  std::int64_t row_block = 1;
  std::int64_t group = 0;
  std::string name;
};

std::int64_t blocks(std::int64_t size, std::int64_t side) {
  return (size + side - 1) / side;
}

Result<Geometry> find_geometry(const ModuleQuery& query, const TensorInfo& weight,
                               const TensorInfo& scale) {
  const bool may_be_blocks = weight.dtype == Dtype::f8_e4m3;
  const std::int64_t rows = weight.shape[0];
  const std::int64_t cols = weight.shape[1];
  std::vector<std::int64_t> shape = scale.shape;
  if (shape.size() == 4 && shape[1] == 1 && shape[3] == 1) shape = {shape[0], shape[2]};
  if (scale.elements() == 1) return Geometry{rows, cols, "tensor"};
  if (shape.size() == 1) shape.push_back(1);
  if (shape.size() == 2 && shape[0] == rows && shape[1] == 1) return Geometry{1, cols, "channel"};
  const std::int64_t br = query.scheme.block_rows;
  const std::int64_t bc = query.scheme.block_cols;
  if (may_be_blocks && shape.size() == 2 && shape[0] == blocks(rows, br) &&
      shape[1] == blocks(cols, bc)) {
    return Geometry{br, bc, fmt::format("block {}x{}", br, bc)};
  }
  if (shape.size() == 2 && shape[0] == rows && shape[1] >= 1 && cols % shape[1] == 0) {
    return Geometry{1, cols / shape[1], fmt::format("g{}", cols / shape[1])};
  }
  const std::string of_blocks = may_be_blocks
                                    ? fmt::format("[{}, {}] for blocks of {}x{}, ",
                                                  blocks(rows, br), blocks(cols, bc), br, bc)
                                    : "";
  return wrong_tensor(scale, fmt::format("[1], [{}, 1], {}or [{}, n] with n a divisor of {}", rows,
                                         of_blocks, rows, cols));
}

Result<StoredWeight> fp8(const ModuleQuery& query, const Parts& parts) {
  const Geometry geometry = GLM_TRY(find_geometry(query, *parts.weight, *parts.scale));
  const bool powers = parts.scale->dtype == Dtype::u8 || parts.scale->dtype == Dtype::f8_e8m0;
  if (!powers && !is_float(parts.scale->dtype)) {
    return wrong_tensor(*parts.scale, "floats or powers of two");
  }
  StoredWeight stored;
  stored.layout = {.format = WeightFormat::fp8,
                   .rows = parts.weight->shape[0],
                   .cols = parts.weight->shape[1],
                   .group = geometry.group,
                   .scale_dtype = powers ? Dtype::f8_e8m0 : parts.scale->dtype,
                   .row_block = geometry.row_block};
  const bool mx = powers && geometry.row_block == 1 && geometry.group == 32;
  stored.label = quantization::label_of({.type = mx ? "mxfp8" : "fp8",
                                         .geometry = mx ? std::string_view() : geometry.name,
                                         .method = query.scheme.method});
  return stored;
}

Result<StoredWeight> int8(const ModuleQuery& query, const Parts& parts) {
  if (!is_float(parts.scale->dtype)) return wrong_tensor(*parts.scale, "bf16, f16 or f32");
  const Geometry geometry = GLM_TRY(find_geometry(query, *parts.weight, *parts.scale));
  if (parts.zero_point == nullptr) GLM_TRY(may_lack_zero_point(query));
  StoredWeight stored;
  stored.layout = {.format = WeightFormat::int8_group,
                   .rows = parts.weight->shape[0],
                   .cols = parts.weight->shape[1],
                   .group = geometry.group,
                   .scale_dtype = parts.scale->dtype,
                   .zeros = parts.zero_point != nullptr};
  if (parts.zero_point != nullptr && (parts.zero_point->dtype != Dtype::i8 ||
                                      parts.zero_point->elements() != parts.scale->elements())) {
    return wrong_tensor(*parts.zero_point, "i8 of the shape of the scales");
  }
  stored.label = quantization::label_of({.type = "int8",
                                         .geometry = geometry.name,
                                         .method = query.scheme.method,
                                         .asymmetric = stored.layout.zeros});
  return stored;
}

Status check_codes(std::span<const std::byte> codes, const TensorInfo& tensor) {
  const auto bad = std::find_if(codes.begin(), codes.end(), [](std::byte code) {
    return (code & std::byte{0x7F}) == std::byte{0x7F};
  });
  if (bad == codes.end()) return Ok{};
  return make_error(Errc::corrupt, "tensor '{}': element {} is not a number", tensor.name,
                    bad - codes.begin());
}

// Values of `size` bytes, one for all rows in the file, one for each in memory.
void repeat_first(std::span<std::byte> target, std::size_t size) {
  for (std::size_t at = size; at < target.size(); at += size) {
    std::memcpy(target.data() + at, target.data(), size);
  }
}

// Signed to unsigned, rows to a whole number of words.
Status read_int8(const WeightRead& read, const Parts& parts) {
  const WeightLayout& layout = read.layout;
  const auto target = [&](WeightPart part) { return read.target[static_cast<std::size_t>(part)]; };
  const std::vector<std::byte> signed_codes = GLM_TRY(read.checkpoint.read_all(*parts.weight));
  const auto cols = static_cast<std::size_t>(layout.cols);
  const auto row_bytes = static_cast<std::size_t>(layout.data_row_bytes());
  for (std::size_t row = 0; row < static_cast<std::size_t>(layout.rows); ++row) {
    std::byte* to = target(WeightPart::data).data() + row * row_bytes;
    for (std::size_t c = 0; c < cols; ++c) to[c] = signed_codes[row * cols + c] ^ std::byte{0x80};
    std::fill(to + cols, to + row_bytes, std::byte{0x80});
  }
  const std::span<std::byte> scales = target(WeightPart::scales);
  GLM_TRY(read.checkpoint.read(*parts.scale, 0, scales.first(parts.scale->size_bytes)));
  repeat_first(scales, parts.scale->size_bytes);
  if (!layout.zeros) return Ok{};
  const std::span<std::byte> zeros = target(WeightPart::zeros);
  const std::size_t stored = parts.zero_point->size_bytes;
  GLM_TRY(read.checkpoint.read(*parts.zero_point, 0, zeros.first(stored)));
  for (std::byte& zero : zeros.first(stored)) zero ^= std::byte{0x80};
  repeat_first(zeros, stored);
  return Ok{};
}

}  // namespace

Result<std::optional<StoredWeight>> detect_scaled(const ModuleQuery& query) {
  const Parts parts = parts_of(query.checkpoint, query.module);
  if (parts.weight == nullptr || parts.scale == nullptr) return std::optional<StoredWeight>();
  const bool floating = parts.weight->dtype == Dtype::f8_e4m3;
  if (!floating && parts.weight->dtype != Dtype::i8) return std::optional<StoredWeight>();
  const std::vector<std::int64_t>& shape = parts.weight->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) {
    return wrong_tensor(*parts.weight, "two dimensions");
  }
  StoredWeight stored = GLM_TRY(floating ? fp8(query, parts) : int8(query, parts));
  return std::optional<StoredWeight>(std::move(stored));
}

Status read_scaled(const WeightRead& read) {
  const Parts parts = parts_of(read.checkpoint, read.module);
  GLM_CHECK(parts.weight != nullptr && parts.scale != nullptr);
  if (read.layout.integer()) return read_int8(read, parts);
  const auto target = [&](WeightPart part) { return read.target[static_cast<std::size_t>(part)]; };
  GLM_TRY(read.checkpoint.read(*parts.weight, 0, target(WeightPart::data)));
  GLM_TRY(check_codes(target(WeightPart::data), *parts.weight));
  return read.checkpoint.read(*parts.scale, 0, target(WeightPart::scales));
}

}  // namespace glm::runner::formats
