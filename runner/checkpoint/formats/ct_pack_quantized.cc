// compressed-tensors, pack-quantized, 4 or 8 bits:
//
//   M.weight_packed      I32 [out, ceil(in*bits/32)]  rows are little-endian bit streams
//                                                     of unsigned u = q + 2^(bits-1)
//   M.weight_scale       BF16|F16|F32 [out, in/g]     channel: [out, 1]; tensor: [1]
//   M.weight_shape       I64 [2]                      (out, in)
//   M.weight_zero_point  I32 [ceil(out*bits/32), in/g], coded as the weights and packed along the
//                        outputs, or I8 [out, in/g] of signed ones (older writers)
//   M.weight_g_idx       I32 [in], the group of each column; columns stay in the weight's order
//
// Symmetric writers may leave zero points that all mean zero, and a g_idx that says nothing.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "runner/checkpoint/formats/parts.h"
#include "runner/checkpoint/formats/rows.h"

namespace glm::runner::formats {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;
using kernels::WeightPart;

constexpr std::int64_t kColsMax = 1LL << 32;

struct Parts {
  const TensorInfo* packed;
  const TensorInfo* scale;
  const TensorInfo* shape;
  const TensorInfo* zero_point;
  const TensorInfo* g_idx;
};

Parts parts_of(const Checkpoint& checkpoint, const std::string& module) {
  const auto part = [&](std::string_view suffix) { return find_part(checkpoint, module, suffix); };
  return {part("weight_packed"), part("weight_scale"), part("weight_shape"),
          part("weight_zero_point"), part("weight_g_idx")};
}

std::int64_t bits_of(const WeightLayout& layout) {
  return layout.format == WeightFormat::int4_group ? 4 : 8;
}

Result<WeightShape> read_shape(const Checkpoint& checkpoint, const TensorInfo& shape) {
  std::array<std::byte, 16> bytes;
  GLM_TRY(checkpoint.read(shape, 0, bytes));
  return WeightShape{value_at<std::int64_t>(bytes, 0), value_at<std::int64_t>(bytes, 1)};
}

// From the caller, the file, or the configuration, whoever knows.
Result<WeightShape> find_shape(const ModuleQuery& query, const Parts& parts) {
  const TensorInfo& packed = *parts.packed;
  if (parts.shape->dtype != Dtype::i64 || parts.shape->size_bytes != 16) {
    return wrong_tensor(*parts.shape, "i64 [2]");
  }
  if (packed.shape.size() != 2) return wrong_tensor(packed, "i32 of two dimensions");
  if (query.checkpoint.has_data()) {
    const WeightShape shape = GLM_TRY(read_shape(query.checkpoint, *parts.shape));
    if (shape.rows >= 1 && shape.rows == packed.shape[0] && shape.cols >= 1 &&
        shape.cols <= kColsMax) {
      return shape;
    }
    return make_error(Errc::corrupt, "tensor '{}' says [{}, {}], but '{}' is {}", parts.shape->name,
                      shape.rows, shape.cols, packed.name, describe(packed));
  }
  if (query.shape) return *query.shape;
  if (query.scheme.bits == 4 || query.scheme.bits == 8) {
    return WeightShape{packed.shape[0], packed.shape[1] * (32 / query.scheme.bits)};
  }
  return make_error(Errc::unsupported,
                    "module '{}': without its data only the configuration can tell the width of "
                    "packed weights, and it does not",
                    query.module);
}

// Of rows of up to 4 columns both widths take one word: there the configuration decides.
Result<WeightFormat> find_format(const ModuleQuery& query, const TensorInfo& packed,
                                 WeightShape shape) {
  const bool eight_first = query.scheme.bits == 8;
  for (const std::int64_t bits : {eight_first ? 8 : 4, eight_first ? 4 : 8}) {
    if (packed.shape[1] != (shape.cols * bits + 31) / 32) continue;
    return bits == 4 ? WeightFormat::int4_group : WeightFormat::int8_group;
  }
  return wrong_tensor(
      packed, fmt::format("i32 [{}, {}] for 4-bit or [{}, {}] for 8-bit weights", shape.rows,
                          (shape.cols + 7) / 8, shape.rows, (shape.cols + 3) / 4));
}

// Columns per scale.
Result<std::int64_t> find_group(const TensorInfo& scale, WeightShape size) {
  const std::vector<std::int64_t>& shape = scale.shape;
  const bool whole_tensor = scale.elements() == 1 && shape.size() <= 2;
  const bool rows_agree = shape.size() == 2 && shape[0] == size.rows && shape[1] >= 1;
  const bool floating = is_float(scale.dtype);
  if (floating && (whole_tensor || (rows_agree && shape[1] == 1))) return size.cols;
  if (floating && rows_agree && size.cols % shape[1] == 0) return size.cols / shape[1];
  return wrong_tensor(scale,
                      fmt::format("a float [{}, n] with n a divisor of {}", size.rows, size.cols));
}

bool is_packed(const TensorInfo& zero_point) {
  return zero_point.dtype == Dtype::i32;
}

Status check_zero_point(const TensorInfo& tensor, const WeightLayout& layout) {
  const std::int64_t bits = bits_of(layout);
  const std::vector<std::int64_t> packed = {(layout.rows * bits + 31) / 32, layout.groups()};
  const std::vector<std::int64_t> plain = {layout.rows, layout.groups()};
  if (is_packed(tensor) && tensor.shape == packed) return Ok{};
  const bool one_column = layout.groups() == 1 && tensor.elements() == layout.rows;
  if (tensor.dtype == Dtype::i8 && (tensor.shape == plain || one_column)) return Ok{};
  return wrong_tensor(
      tensor, fmt::format("i32 [{}] or i8 [{}]", fmt::join(packed, ", "), fmt::join(plain, ", ")));
}

// As the memory format has them: unsigned, [rows, groups].
Result<std::vector<std::uint8_t>> read_zeros(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                             const WeightLayout& layout) {
  const std::vector<std::byte> bytes = GLM_TRY(checkpoint.read_all(tensor));
  const std::int64_t bits = bits_of(layout);
  const std::int64_t groups = layout.groups();
  std::vector<std::uint8_t> zeros(static_cast<std::size_t>(layout.rows * groups));
  for (std::int64_t r = 0; r < layout.rows; ++r) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto at = static_cast<std::size_t>(r * groups + g);
      if (is_packed(tensor)) {
        const auto word =
            value_at<std::uint32_t>(bytes, static_cast<std::size_t>(r * bits / 32 * groups + g));
        const auto shift = static_cast<unsigned>(r * bits % 32);
        zeros[at] = static_cast<std::uint8_t>((word >> shift) & ((1U << bits) - 1));
      } else {
        const int code = value_at<std::int8_t>(bytes, at) + (1 << (bits - 1));
        if (code < 0 || code >= 1 << bits) {
          return make_error(Errc::corrupt, "tensor '{}': a zero point of {} for {}-bit weights",
                            tensor.name, code - (1 << (bits - 1)), bits);
        }
        zeros[at] = static_cast<std::uint8_t>(code);
      }
    }
  }
  return zeros;
}

// A symmetric weight may carry zero points as long as they are zero.
Result<bool> has_zeros(const ModuleQuery& query, const TensorInfo* tensor,
                       const WeightLayout& layout) {
  if (tensor == nullptr) {
    GLM_TRY(may_lack_zero_point(query));
    return false;
  }
  GLM_TRY(check_zero_point(*tensor, layout));
  if (!query.scheme.symmetric.value_or(false)) return true;
  if (!query.checkpoint.has_data()) return false;
  const std::vector<std::uint8_t> zeros = GLM_TRY(read_zeros(query.checkpoint, *tensor, layout));
  const int zero_code = 1 << (bits_of(layout) - 1);
  return !std::all_of(zeros.begin(), zeros.end(), [&](std::uint8_t z) { return z == zero_code; });
}

Result<bool> has_order(const ModuleQuery& query, const TensorInfo* g_idx,
                       const WeightLayout& layout) {
  if (g_idx == nullptr) return false;
  if (!query.checkpoint.has_data()) return query.scheme.activation_order;
  const ColumnOrder order = GLM_TRY(read_column_order(query.checkpoint, *g_idx, layout));
  return !order.trivial;
}

// Row by row in another order of columns.
void reorder(std::span<const std::byte> packed, const WeightLayout& layout,
             const std::vector<std::int32_t>& order, std::span<std::byte> target) {
  const auto row_bytes = static_cast<std::size_t>(layout.data_row_bytes());
  const bool four_bits = layout.format == WeightFormat::int4_group;
  std::fill(target.begin(), target.end(), std::byte{0});
  for (std::size_t row = 0; row < static_cast<std::size_t>(layout.rows); ++row) {
    const std::byte* from = packed.data() + row * row_bytes;
    std::byte* to = target.data() + row * row_bytes;
    for (std::size_t c = 0; c < order.size(); ++c) {
      const auto source = static_cast<std::size_t>(order[c]);
      if (four_bits) {
        const std::byte nibble = (from[source / 2] >> (4 * (source % 2))) & std::byte{15};
        to[c / 2] |= nibble << (4 * (c % 2));
      } else {
        to[c] = from[source];
      }
    }
  }
}

}  // namespace

Result<std::optional<StoredWeight>> detect_ct_pack_quantized(const ModuleQuery& query) {
  const Parts parts = parts_of(query.checkpoint, query.module);
  if (parts.packed == nullptr || parts.packed->dtype != Dtype::i32 ||
      (parts.scale == nullptr && parts.shape == nullptr)) {
    return std::optional<StoredWeight>();
  }
  if (parts.scale == nullptr) return missing_tensor(query.module, "weight_scale");
  if (parts.shape == nullptr) return missing_tensor(query.module, "weight_shape");
  const WeightShape size = GLM_TRY(find_shape(query, parts));
  StoredWeight stored;
  WeightLayout& layout = stored.layout;
  layout = {.format = GLM_TRY(find_format(query, *parts.packed, size)),
            .rows = parts.packed->shape[0],
            .cols = size.cols,
            .group = GLM_TRY(find_group(*parts.scale, size)),
            .scale_dtype = parts.scale->dtype};
  GLM_TRY(agree_with_scheme(query, layout));
  layout.zeros = GLM_TRY(has_zeros(query, parts.zero_point, layout));
  layout.ordered = GLM_TRY(has_order(query, parts.g_idx, layout));
  stored.label = integer_label(layout, QuantMethod::compressed_tensors);
  return std::optional<StoredWeight>(std::move(stored));
}

Status read_ct_pack_quantized(const WeightRead& read) {
  const WeightLayout& layout = read.layout;
  const Parts parts = parts_of(read.checkpoint, read.module);
  GLM_CHECK(parts.packed != nullptr && parts.scale != nullptr && parts.shape != nullptr);
  const WeightShape shape = GLM_TRY(read_shape(read.checkpoint, *parts.shape));
  if (shape.rows != layout.rows || shape.cols != layout.cols) {
    return make_error(Errc::corrupt, "tensor '{}' says [{}, {}], wanted [{}, {}]",
                      parts.shape->name, shape.rows, shape.cols, layout.rows, layout.cols);
  }
  const auto target = [&](WeightPart part) { return read.target[static_cast<std::size_t>(part)]; };
  if (layout.ordered) {
    const ColumnOrder columns = GLM_TRY(read_column_order(read.checkpoint, *parts.g_idx, layout));
    std::memcpy(target(WeightPart::order).data(), columns.order.data(),
                target(WeightPart::order).size());
    const std::vector<std::byte> packed = GLM_TRY(read.checkpoint.read_all(*parts.packed));
    reorder(packed, layout, columns.order, target(WeightPart::data));
  } else {
    GLM_TRY(read.checkpoint.read(*parts.packed, 0, target(WeightPart::data)));
  }
  if (layout.zeros) {
    const std::vector<std::uint8_t> zeros =
        GLM_TRY(read_zeros(read.checkpoint, *parts.zero_point, layout));
    std::memcpy(target(WeightPart::zeros).data(), zeros.data(), zeros.size());
  }
  const std::span<std::byte> scales = target(WeightPart::scales);
  if (parts.scale->size_bytes == scales.size())
    return read.checkpoint.read(*parts.scale, 0, scales);
  const auto one = static_cast<std::size_t>(kernels::size_bytes(layout.scale_dtype));
  GLM_TRY(read.checkpoint.read(*parts.scale, 0, scales.first(one)));
  for (std::size_t at = one; at < scales.size(); at += one) {
    std::memcpy(scales.data() + at, scales.data(), one);
  }
  return Ok{};
}

}  // namespace glm::runner::formats
