// Unquantized: M.weight [out, in] in bf16, f16 or f32, and nothing else that would change its
// meaning.
#include <array>

#include "base/check.h"
#include "runner/checkpoint/formats/parts.h"
#include "runner/checkpoint/formats/rows.h"

namespace glm::runner::formats {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;

// A neighbour that says the weight is not to be taken at its face value.
constexpr std::array<std::string_view, 6> kScaledBy = {
    "weight_scale", "weight_scale_inv", "weight_packed", "SCB", "weight.absmax", "pre_quant_scale"};

std::optional<WeightFormat> format_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16:
      return WeightFormat::bf16;
    case Dtype::f16:
      return WeightFormat::f16;
    case Dtype::f32:
      return WeightFormat::f32;
    default:
      return {};
  }
}

}  // namespace

Result<std::optional<StoredWeight>> detect_plain(const ModuleQuery& query) {
  const TensorInfo* weight = find_part(query.checkpoint, query.module, "weight");
  const std::optional<WeightFormat> format =
      weight == nullptr ? std::nullopt : format_of(weight->dtype);
  if (!format || weight->shape.size() != 2) return std::optional<StoredWeight>();
  // compressed-tensors leaves scales beside weights that were only prepared for them.
  const bool prepared =
      query.scheme.method == QuantMethod::compressed_tensors && !query.scheme.quantized;
  for (const std::string_view suffix : kScaledBy) {
    if (prepared && suffix == "weight_scale") continue;
    if (find_part(query.checkpoint, query.module, suffix) != nullptr) {
      return std::optional<StoredWeight>();
    }
  }
  StoredWeight stored{
      .format = nullptr,
      .layout = {.format = *format, .rows = weight->shape[0], .cols = weight->shape[1]},
      .label = std::string(kernels::name(weight->dtype)),
      .plain = weight};
  return std::optional<StoredWeight>(std::move(stored));
}

Status read_plain(const WeightRead& read) {
  const TensorInfo* weight = find_part(read.checkpoint, read.module, "weight");
  GLM_CHECK(weight != nullptr);
  return read.checkpoint.read(*weight, 0, read.target[0]);
}

}  // namespace glm::runner::formats
