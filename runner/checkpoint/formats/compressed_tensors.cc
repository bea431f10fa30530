#include "runner/checkpoint/formats/compressed_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"

namespace glm::runner::compressed_tensors {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;

// The tensors of one module; null where there is none.
struct Parts {
  const TensorInfo* packed;
  const TensorInfo* scale;
  const TensorInfo* shape;
  const TensorInfo* zero_point;
  const TensorInfo* g_idx;
};

Parts parts_of(const Checkpoint& checkpoint, const std::string& module) {
  return {checkpoint.find(module + ".weight_packed"), checkpoint.find(module + ".weight_scale"),
          checkpoint.find(module + ".weight_shape"), checkpoint.find(module + ".weight_zero_point"),
          checkpoint.find(module + ".weight_g_idx")};
}

template <typename T>
T value_at(std::span<const std::byte> bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

struct Size {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t bits;
};

// weight_shape, which must fit the packed tensor.
Result<Size> read_shape(const Checkpoint& checkpoint, const Parts& parts) {
  std::array<std::byte, 16> bytes;
  if (parts.shape->dtype != Dtype::i64 || parts.shape->size_bytes != bytes.size()) {
    return make_error(Errc::corrupt, "tensor '{}': got {}, wanted i64 [2]", parts.shape->name,
                      describe(*parts.shape));
  }
  GLM_TRY(checkpoint.read(*parts.shape, 0, bytes));
  Size size{value_at<std::int64_t>(bytes, 0), value_at<std::int64_t>(bytes, 1), 0};
  constexpr std::int64_t kSizeMax = 1LL << 40;
  const TensorInfo& packed = *parts.packed;
  if (packed.shape.size() != 2 || size.rows < 1 || size.cols < 1 || size.cols > kSizeMax ||
      size.rows != packed.shape[0]) {
    return make_error(Errc::corrupt, "tensor '{}' says [{}, {}], but '{}' is {}", parts.shape->name,
                      size.rows, size.cols, packed.name, describe(packed));
  }
  for (const std::int64_t bits : {4, 8}) {
    if (packed.shape[1] == (size.cols * bits + 31) / 32) {
      size.bits = bits;
      return size;
    }
  }
  return make_error(Errc::corrupt,
                    "tensor '{}': got {}, wanted i32 [{}, {}] for 4-bit or [{}, {}] for 8-bit "
                    "weights",
                    packed.name, describe(packed), size.rows, (size.cols + 7) / 8, size.rows,
                    (size.cols + 3) / 4);
}

// Columns per scale.
Result<std::int64_t> read_group(const TensorInfo& scale, Size size) {
  const bool floating =
      scale.dtype == Dtype::bf16 || scale.dtype == Dtype::f16 || scale.dtype == Dtype::f32;
  const std::vector<std::int64_t>& shape = scale.shape;
  const bool whole_tensor = scale.elements() == 1 && shape.size() <= 2;
  const bool rows_agree = shape.size() == 2 && shape[0] == size.rows && shape[1] >= 1;
  if (floating && (whole_tensor || (rows_agree && shape[1] == 1))) return size.cols;
  if (floating && rows_agree && size.cols % shape[1] == 0) return size.cols / shape[1];
  return make_error(Errc::corrupt,
                    "tensor '{}': got {}, wanted a float [{}, n] with n a divisor of {}",
                    scale.name, describe(scale), size.rows, size.cols);
}

// A symmetric weight may carry zero points as long as they are zero.
Status check_zero_point(const Checkpoint& checkpoint, const TensorInfo& tensor, std::int64_t bits) {
  const std::vector<std::byte> bytes = GLM_TRY(checkpoint.read_all(tensor));
  const bool packed = tensor.dtype == Dtype::i32;
  const unsigned zero_code = bits == 4 ? 0x8 : 0x80;
  // Packed along the outputs; what lies beyond the last output is padded with zero bits.
  const auto zero = [&](std::byte byte) {
    const auto value = std::to_integer<unsigned>(byte);
    if (!packed) return value == 0;
    if (bits == 8) return value == 0 || value == zero_code;
    const unsigned low = value & 15U;
    const unsigned high = value >> 4U;
    return (low == 0 || low == zero_code) && (high == 0 || high == zero_code);
  };
  if ((packed || tensor.dtype == Dtype::i8) && std::all_of(bytes.begin(), bytes.end(), zero)) {
    return Ok{};
  }
  return make_error(Errc::unsupported,
                    "tensor '{}': asymmetric weights are not supported yet, only symmetric "
                    "ones",
                    tensor.name);
}

// g_idx must say what the order of columns says; -1 means it was never set.
Status check_g_idx(const Checkpoint& checkpoint, const TensorInfo& tensor,
                   const WeightLayout& layout) {
  if (tensor.dtype != Dtype::i32 ||
      tensor.size_bytes != static_cast<std::uint64_t>(layout.cols) * 4) {
    return make_error(Errc::corrupt, "tensor '{}': got {}, wanted i32 [{}]", tensor.name,
                      describe(tensor), layout.cols);
  }
  const std::vector<std::byte> bytes = GLM_TRY(checkpoint.read_all(tensor));
  bool ordered = true;
  for (std::int64_t c = 0; c < layout.cols; ++c) {
    const auto group = value_at<std::int32_t>(bytes, static_cast<std::size_t>(c));
    if (group == -1) return Ok{};
    ordered = ordered && group == c / layout.group;
  }
  if (ordered) return Ok{};
  return make_error(Errc::unsupported,
                    "tensor '{}': activation order (actorder: group) is not supported yet; a "
                    "checkpoint made with actorder weight or without it is",
                    tensor.name);
}

}  // namespace

Result<std::optional<StoredWeight>> detect(const Checkpoint& checkpoint,
                                           const std::string& module) {
  const Parts parts = parts_of(checkpoint, module);
  if (parts.packed == nullptr || parts.packed->dtype != Dtype::i32 || parts.scale == nullptr ||
      parts.shape == nullptr) {
    return std::optional<StoredWeight>();
  }
  const Size size = GLM_TRY(read_shape(checkpoint, parts));
  StoredWeight stored;
  stored.layout = {.format = size.bits == 4 ? WeightFormat::int4_group : WeightFormat::int8_group,
                   .rows = size.rows,
                   .cols = size.cols,
                   .group = GLM_TRY(read_group(*parts.scale, size)),
                   .scale_dtype = parts.scale->dtype};
  if (parts.zero_point != nullptr)
    GLM_TRY(check_zero_point(checkpoint, *parts.zero_point, size.bits));
  if (parts.g_idx != nullptr) GLM_TRY(check_g_idx(checkpoint, *parts.g_idx, stored.layout));
  const bool channel = stored.layout.group == size.cols;
  stored.label =
      channel ? fmt::format("int{} channel (compressed-tensors)", size.bits)
              : fmt::format("int{} g{} (compressed-tensors)", size.bits, stored.layout.group);
  return std::optional<StoredWeight>(std::move(stored));
}

Status read(const Checkpoint& checkpoint, const std::string& module, const WeightLayout& layout,
            WeightMemory target) {
  const Parts parts = parts_of(checkpoint, module);
  GLM_CHECK(parts.packed != nullptr && parts.scale != nullptr);
  GLM_TRY(checkpoint.read(*parts.packed, 0, target.data));
  if (parts.scale->size_bytes == target.scales.size()) {
    return checkpoint.read(*parts.scale, 0, target.scales);
  }
  const auto one = static_cast<std::size_t>(kernels::size_bytes(layout.scale_dtype));
  GLM_TRY(checkpoint.read(*parts.scale, 0, target.scales.first(one)));
  for (std::size_t at = one; at < target.scales.size(); at += one) {
    std::memcpy(target.scales.data() + at, target.scales.data(), one);
  }
  return Ok{};
}

}  // namespace glm::runner::compressed_tensors
