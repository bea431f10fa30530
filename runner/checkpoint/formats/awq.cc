// AutoAWQ, GEMM version, 4 bits, everything transposed:
//
//   M.qweight  I32 [in, out/8]    a word holds outputs 8c .. 8c+7 in the order 0 2 4 6 1 3 5 7 from
//                                 its lowest bits up; values unsigned
//   M.qzeros   I32 [in/g, out/8]  the same; no offset
//   M.scales   F16|BF16 [in/g, out]
//
//   weight (u - zero) * scale, rounded once in the dtype of the scales
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

// Where in a word output 8c + n is.
constexpr std::array<unsigned, 8> kShift = {0, 16, 4, 20, 8, 24, 12, 28};

struct Parts {
  const TensorInfo* weight;
  const TensorInfo* zeros;
  const TensorInfo* scales;
};

Parts parts_of(const Checkpoint& checkpoint, const std::string& module) {
  return {find_part(checkpoint, module, "qweight"), find_part(checkpoint, module, "qzeros"),
          find_part(checkpoint, module, "scales")};
}

Error other_version(const ModuleQuery& query, const TensorInfo& weight) {
  return make_error(Errc::unsupported,
                    "module '{}': {} {} is a version of AWQ other than gemm, which is the one that "
                    "is read; pull a gemm checkpoint, or compressed-tensors",
                    query.module, weight.name, describe(weight));
}

}  // namespace

// GPTQ's row comes first and takes what is its own.
Result<std::optional<StoredWeight>> detect_awq(const ModuleQuery& query) {
  const Parts parts = parts_of(query.checkpoint, query.module);
  if (parts.weight == nullptr || parts.scales == nullptr) return std::optional<StoredWeight>();
  if (parts.weight->dtype != Dtype::i32 || parts.weight->shape.size() != 2 ||
      parts.scales->shape.size() != 2 || parts.weight->shape[1] * 8 != parts.scales->shape[1]) {
    return other_version(query, *parts.weight);
  }
  const std::int64_t in = parts.weight->shape[0];
  const std::int64_t out = parts.scales->shape[1];
  const std::int64_t groups = parts.scales->shape[0];
  if (!is_float(parts.scales->dtype) || groups < 1 || in % groups != 0) {
    return wrong_tensor(*parts.scales,
                        fmt::format("a float [n, {}] with n a divisor of {}", out, in));
  }
  const std::vector<std::int64_t> packed = {groups, out / 8};
  if (parts.zeros != nullptr &&
      (parts.zeros->dtype != Dtype::i32 || parts.zeros->shape != packed)) {
    return wrong_tensor(*parts.zeros, fmt::format("i32 [{}]", fmt::join(packed, ", ")));
  }
  StoredWeight stored;
  stored.layout = {.format = WeightFormat::int4_group,
                   .rows = out,
                   .cols = in,
                   .group = in / groups,
                   .scale_dtype = parts.scales->dtype,
                   .zeros = parts.zeros != nullptr};
  GLM_TRY(agree_with_scheme(query, stored.layout));
  stored.label = integer_label(stored.layout, QuantMethod::awq);
  return std::optional<StoredWeight>(std::move(stored));
}

Status read_awq(const WeightRead& read) {
  const WeightLayout& layout = read.layout;
  const Parts parts = parts_of(read.checkpoint, read.module);
  GLM_CHECK(parts.weight != nullptr && parts.scales != nullptr);
  const auto target = [&](WeightPart part) { return read.target[static_cast<std::size_t>(part)]; };
  const auto in = static_cast<std::size_t>(layout.cols);
  const auto columns = static_cast<std::size_t>(layout.rows / 8);  // of words
  const std::size_t words = (in + 7) / 8;                          // of a row in memory

  const std::vector<std::byte> packed = GLM_TRY(read.checkpoint.read_all(*parts.weight));
  for (std::size_t k = 0; k < in; k += 8) {
    for (std::size_t column = 0; column < columns; ++column) {
      std::array<std::uint32_t, 8> rows = {};
      for (std::size_t j = 0; j < 8 && k + j < in; ++j) {
        rows[j] = value_at<std::uint32_t>(packed, (k + j) * columns + column);
      }
      for (std::size_t n = 0; n < 8; ++n) {
        std::uint32_t word = 0;
        for (std::size_t j = 0; j < 8; ++j) word |= (rows[j] >> kShift[n] & 15U) << (4 * j);
        put_at(target(WeightPart::data), (8 * column + n) * words + k / 8, word);
      }
    }
  }

  const auto groups = static_cast<std::size_t>(layout.groups());
  if (layout.zeros) {
    const std::vector<std::byte> zeros = GLM_TRY(read.checkpoint.read_all(*parts.zeros));
    for (std::size_t g = 0; g < groups; ++g) {
      for (std::size_t r = 0; r < 8 * columns; ++r) {
        const auto word = value_at<std::uint32_t>(zeros, g * columns + r / 8);
        put_at(target(WeightPart::zeros), r * groups + g,
               static_cast<std::uint8_t>(word >> kShift[r % 8] & 15U));
      }
    }
  } else if (read.notes != nullptr) {
    read.notes->push_back(
        fmt::format("module '{}' has no qzeros: 8 is taken for all", read.module));
  }
  const std::vector<std::byte> scales = GLM_TRY(read.checkpoint.read_all(*parts.scales));
  transpose_scales(scales, layout, target(WeightPart::scales));
  return Ok{};
}

}  // namespace glm::runner::formats
