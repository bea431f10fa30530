#include "runner/checkpoint/formats/plain.h"

#include <array>

#include "base/check.h"

namespace glm::runner::plain {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;

// A neighbour that says the weight is not to be taken at its face value.
constexpr std::array<std::string_view, 5> kScaledBy = {"weight_scale", "weight_scale_inv",
                                                       "weight_packed", "SCB", "weight.absmax"};

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

Result<std::optional<StoredWeight>> detect(const Checkpoint& checkpoint,
                                           const std::string& module) {
  const TensorInfo* weight = checkpoint.find(module + ".weight");
  const std::optional<WeightFormat> format =
      weight == nullptr ? std::nullopt : format_of(weight->dtype);
  if (!format || weight->shape.size() != 2) return std::optional<StoredWeight>();
  for (const std::string_view suffix : kScaledBy) {
    if (checkpoint.find(fmt::format("{}.{}", module, suffix)) != nullptr) {
      return std::optional<StoredWeight>();
    }
  }
  StoredWeight stored{
      .format = nullptr,
      .layout = {.format = *format, .rows = weight->shape[0], .cols = weight->shape[1]},
      .label = std::string(kernels::name(weight->dtype))};
  return std::optional<StoredWeight>(std::move(stored));
}

Status read(const Checkpoint& checkpoint, const std::string& module,
            const kernels::WeightLayout& /*layout*/, WeightMemory target) {
  const TensorInfo* weight = checkpoint.find(module + ".weight");
  GLM_CHECK(weight != nullptr);
  return checkpoint.read(*weight, 0, target.data);
}

}  // namespace glm::runner::plain
