#include "runner/checkpoint/weight_loader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"
#include "runner/checkpoint/formats.h"

namespace glm::runner {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightLayout;

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

bool is_float(Dtype dtype) {
  return dtype == Dtype::bf16 || dtype == Dtype::f16 || dtype == Dtype::f32;
}

WeightFormat plain_format(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return WeightFormat::bf16;
    case Dtype::f16:
      return WeightFormat::f16;
    default:
      return WeightFormat::f32;
  }
}

HostWeight memory_for(const WeightLayout& layout, std::int64_t experts) {
  HostWeight weight{.layout = layout, .experts = experts, .data = {}, .scales = {}};
  weight.data.resize(static_cast<std::size_t>(layout.data_bytes() * experts));
  weight.scales.resize(static_cast<std::size_t>(layout.scale_bytes() * experts));
  return weight;
}

WeightMemory slot(HostWeight& weight, std::int64_t expert) {
  const auto data = static_cast<std::size_t>(weight.layout.data_bytes());
  const auto scales = static_cast<std::size_t>(weight.layout.scale_bytes());
  const auto index = static_cast<std::size_t>(expert);
  return {std::span(weight.data).subspan(index * data, data),
          std::span(weight.scales).subspan(index * scales, scales)};
}

void encode_plain(std::span<const float> values, WeightFormat format, std::span<std::byte> target) {
  if (format == WeightFormat::f32) {
    std::memcpy(target.data(), values.data(), target.size());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t bits = kernels::f32_to_bf16(values[i]);
    std::memcpy(target.data() + i * sizeof(bits), &bits, sizeof(bits));
  }
}

Status check_shape(const std::string& module, const StoredWeight& stored, WeightShape shape) {
  if (stored.layout.rows == shape.rows && stored.layout.cols == shape.cols) return Ok{};
  return make_error(Errc::corrupt, "module '{}': got a {} weight of [{}, {}], wanted [{}, {}]",
                    module, stored.label, stored.layout.rows, stored.layout.cols, shape.rows,
                    shape.cols);
}

}  // namespace

kernels::WeightView HostWeight::view(std::int64_t expert) const {
  GLM_CHECK(expert >= 0 && expert < experts);
  kernels::WeightView view{.layout = layout};
  view.data = data.data() + expert * layout.data_bytes();
  if (!scales.empty()) view.scales = scales.data() + expert * layout.scale_bytes();
  return view;
}

WeightLoader::WeightLoader(const Checkpoint& checkpoint, Progress progress, std::stop_token stop)
    : checkpoint_(checkpoint),
      progress_(std::move(progress)),
      stop_(std::move(stop)),
      total_bytes_(checkpoint.size_bytes()) {}

void WeightLoader::skip(std::string_view prefix) {
  for (const TensorInfo* tensor : checkpoint_.tensors()) {
    if (!tensor->name.starts_with(prefix) || !used_.insert(tensor).second) continue;
    total_bytes_ -= tensor->size_bytes;
  }
}

void WeightLoader::use(const TensorInfo& tensor) {
  if (!used_.insert(&tensor).second) return;
  completed_bytes_ += tensor.size_bytes;
  if (progress_) progress_(completed_bytes_, total_bytes_);
}

Result<const TensorInfo*> WeightLoader::claim(const std::string& tensor,
                                              std::initializer_list<std::int64_t> shape) {
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  const TensorInfo* found = checkpoint_.find(tensor);
  if (found == nullptr) {
    return make_error(Errc::corrupt, "tensor '{}' is missing from the checkpoint", tensor);
  }
  if (!is_float(found->dtype) ||
      !std::equal(found->shape.begin(), found->shape.end(), shape.begin(), shape.end())) {
    return make_error(Errc::corrupt, "tensor '{}': got {}, wanted bf16, f16 or f32 [{}]", tensor,
                      describe(*found), fmt::join(shape, ", "));
  }
  return found;
}

Status WeightLoader::claim_module(const std::string& module) {
  if (stop_.stop_requested()) return make_error(Errc::cancelled, "loading was cancelled");
  const std::string prefix = module + ".";
  const auto& tensors = checkpoint_.tensors();
  auto at = std::lower_bound(
      tensors.begin(), tensors.end(), prefix,
      [](const TensorInfo* tensor, const std::string& name) { return tensor->name < name; });
  if (at == tensors.end() || !(*at)->name.starts_with(prefix)) {
    return make_error(Errc::corrupt, "module '{}' is missing from the checkpoint", module);
  }
  for (; at != tensors.end() && (*at)->name.starts_with(prefix); ++at) use(**at);
  return Ok{};
}

Result<std::vector<float>> WeightLoader::floats(const std::string& tensor,
                                                std::initializer_list<std::int64_t> shape) {
  const TensorInfo* found = GLM_TRY(claim(tensor, shape));
  const std::vector<std::byte> bytes = GLM_TRY(checkpoint_.read_all(*found));
  std::vector<float> values(static_cast<std::size_t>(found->elements()));
  kernels::WeightView view{
      .layout = {.format = plain_format(found->dtype), .rows = 1, .cols = found->elements()}};
  view.data = bytes.data();
  if (!values.empty()) kernels::decode_rows(view, 0, 1, values);
  use(*found);
  return values;
}

Result<HostWeight> WeightLoader::weight(const std::string& module, WeightShape shape) {
  GLM_TRY(claim_module(module));
  const StoredWeight stored = GLM_TRY(detect_format(checkpoint_, module));
  GLM_TRY(check_shape(module, stored, shape));
  HostWeight weight = memory_for(stored.layout, 1);
  GLM_TRY(read_weight(checkpoint_, module, stored, slot(weight, 0)));
  return weight;
}

Result<HostWeight> WeightLoader::experts(const std::string& prefix, const std::string& name,
                                         std::int64_t experts, WeightShape shape) {
  const auto module = [&](std::int64_t e) { return fmt::format("{}.{}.{}", prefix, e, name); };
  std::vector<StoredWeight> stored;
  bool same = true;
  bool bf16 = true;
  for (std::int64_t e = 0; e < experts; ++e) {
    GLM_TRY(claim_module(module(e)));
    stored.push_back(GLM_TRY(detect_format(checkpoint_, module(e))));
    GLM_TRY(check_shape(module(e), stored.back(), shape));
    same = same && stored.back().layout == stored.front().layout;
    bf16 = bf16 && stored.back().layout.exact_in_bf16();
  }
  WeightLayout layout{.format = bf16 ? WeightFormat::bf16 : WeightFormat::f32,
                      .rows = shape.rows,
                      .cols = shape.cols};
  if (same) layout = stored.front().layout;
  HostWeight all = memory_for(layout, experts);
  for (std::int64_t e = 0; e < experts; ++e) {
    const StoredWeight& one = stored[static_cast<std::size_t>(e)];
    if (same) {
      GLM_TRY(read_weight(checkpoint_, module(e), one, slot(all, e)));
      continue;
    }
    HostWeight own = memory_for(one.layout, 1);
    GLM_TRY(read_weight(checkpoint_, module(e), one, slot(own, 0)));
    std::vector<float> values(static_cast<std::size_t>(shape.rows * shape.cols));
    kernels::decode_rows(own.view(), 0, shape.rows, values);
    encode_plain(values, layout.format, slot(all, e).data);
  }
  return all;
}

Result<HostWeight> WeightLoader::fused_experts(const Fused& fused) {
  const TensorInfo* tensor =
      GLM_TRY(claim(fused.tensor, {fused.experts, fused.fused_rows, fused.shape.cols}));
  GLM_CHECK(fused.first_row >= 0 && fused.first_row + fused.shape.rows <= fused.fused_rows);
  HostWeight all = memory_for(
      {.format = plain_format(tensor->dtype), .rows = fused.shape.rows, .cols = fused.shape.cols},
      fused.experts);
  const std::int64_t row_bytes = all.layout.data_row_bytes();
  for (std::int64_t e = 0; e < fused.experts; ++e) {
    const std::int64_t first = (e * fused.fused_rows + fused.first_row) * row_bytes;
    GLM_TRY(checkpoint_.read(*tensor, static_cast<std::uint64_t>(first), slot(all, e).data));
  }
  use(*tensor);
  return all;
}

std::string WeightLoader::unused_note() const {
  std::vector<std::string_view> names;
  for (const TensorInfo* tensor : checkpoint_.tensors()) {
    if (!used_.contains(tensor)) names.push_back(tensor->name);
  }
  if (names.empty()) return {};
  constexpr std::size_t kNamesShown = 3;
  const std::size_t shown = std::min(names.size(), kNamesShown);
  return fmt::format(
      "{} tensors of the checkpoint were not used: {}{}", names.size(),
      fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
      names.size() > shown ? ", ..." : "");
}

}  // namespace glm::runner
