#include "runner/checkpoint/formats/parts.h"

#include <algorithm>
#include <numeric>

namespace glm::runner::formats {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;

const TensorInfo* find_part(const Checkpoint& checkpoint, const std::string& module,
                            std::string_view suffix) {
  return checkpoint.find(fmt::format("{}.{}", module, suffix));
}

const TensorInfo* find_part(const Checkpoint& checkpoint, const std::string& module,
                            std::initializer_list<std::string_view> suffixes) {
  for (const std::string_view suffix : suffixes) {
    if (const TensorInfo* found = find_part(checkpoint, module, suffix)) return found;
  }
  return nullptr;
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

Error wrong_tensor(const TensorInfo& tensor, std::string_view wanted) {
  return make_error(Errc::corrupt, "tensor '{}': got {}, wanted {}", tensor.name, describe(tensor),
                    wanted);
}

Error missing_tensor(std::string_view module, std::string_view suffix) {
  return make_error(Errc::corrupt, "tensor '{}.{}' is missing", module, suffix);
}

Error contradiction(const Contradiction& found) {
  return make_error(Errc::corrupt, "module '{}': the configuration says {} {}, its tensors {}",
                    found.module, found.what, found.in_config, found.in_tensors);
}

Status agree_with_scheme(const ModuleQuery& query, const WeightLayout& layout) {
  const ModuleScheme& scheme = query.scheme;
  if (!scheme.quantized) return Ok{};
  const std::int64_t bits = layout.format == WeightFormat::int4_group ? 4 : 8;
  if (scheme.bits != 0 && scheme.bits != bits) {
    return contradiction({query.module, "bits", scheme.bits, bits});
  }
  const bool channel = layout.group == layout.cols;
  // One group for the row is all there can be where groups of that size do not fit.
  const bool agrees = scheme.group == 0 || layout.group == scheme.group ||
                      (channel && (scheme.group < 0 || layout.cols % scheme.group != 0));
  if (!agrees) return contradiction({query.module, "group_size", scheme.group, layout.group});
  return Ok{};
}

Status may_lack_zero_point(const ModuleQuery& query) {
  if (!query.scheme.quantized || query.scheme.symmetric.value_or(true)) return Ok{};
  return make_error(Errc::corrupt,
                    "module '{}': tensor 'weight_zero_point' is missing, and the configuration "
                    "says the weights are asymmetric",
                    query.module);
}

std::string integer_label(const WeightLayout& layout, QuantMethod method) {
  const bool channel = layout.group == layout.cols;
  return quantization::label_of(
      {.type = layout.format == WeightFormat::int4_group ? "int4" : "int8",
       .geometry = quantization::geometry_of(channel ? -1 : layout.group),
       .method = method,
       .asymmetric = layout.zeros,
       .activation_order = layout.ordered});
}

Result<ColumnOrder> read_column_order(const Checkpoint& checkpoint, const TensorInfo& g_idx,
                                      const WeightLayout& layout) {
  if (g_idx.dtype != Dtype::i32 ||
      g_idx.size_bytes != static_cast<std::uint64_t>(layout.cols) * 4) {
    return wrong_tensor(g_idx, fmt::format("i32 [{}]", layout.cols));
  }
  const std::vector<std::byte> bytes = GLM_TRY(checkpoint.read_all(g_idx));
  ColumnOrder result;
  result.order.resize(static_cast<std::size_t>(layout.cols));
  std::iota(result.order.begin(), result.order.end(), 0);
  std::vector<std::int32_t> group_of;
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(layout.groups()));
  for (std::size_t c = 0; c < result.order.size(); ++c) {
    const auto group = value_at<std::int32_t>(bytes, c);
    if (group == -1) return result;
    if (group < 0 || group >= layout.groups()) {
      return make_error(Errc::corrupt, "tensor '{}': column {} is in group {}, there are {}",
                        g_idx.name, c, group, layout.groups());
    }
    group_of.push_back(group);
    ++sizes[static_cast<std::size_t>(group)];
    result.trivial = result.trivial && group == static_cast<std::int64_t>(c) / layout.group;
  }
  for (std::size_t group = 0; group < sizes.size(); ++group) {
    const bool last = group + 1 == sizes.size();
    const std::int64_t wanted =
        last ? layout.cols - layout.group * (layout.groups() - 1) : layout.group;
    if (sizes[group] == wanted) continue;
    return make_error(Errc::unsupported, "tensor '{}': group {} has {} columns, wanted {}",
                      g_idx.name, group, sizes[group], wanted);
  }
  std::stable_sort(result.order.begin(), result.order.end(), [&](std::int32_t a, std::int32_t b) {
    return group_of[static_cast<std::size_t>(a)] < group_of[static_cast<std::size_t>(b)];
  });
  return result;
}

namespace {

template <typename T>
void transpose(std::span<const std::byte> from, std::size_t rows, std::size_t groups,
               std::span<std::byte> target) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t g = 0; g < groups; ++g) {
      put_at(target, r * groups + g, value_at<T>(from, g * rows + r));
    }
  }
}

}  // namespace

void transpose_scales(std::span<const std::byte> scales, const WeightLayout& layout,
                      std::span<std::byte> target) {
  const auto rows = static_cast<std::size_t>(layout.rows);
  const auto groups = static_cast<std::size_t>(layout.groups());
  if (kernels::size_bytes(layout.scale_dtype) == 2) {
    transpose<std::uint16_t>(scales, rows, groups, target);
  } else {
    transpose<std::uint32_t>(scales, rows, groups, target);
  }
}

}  // namespace glm::runner::formats
