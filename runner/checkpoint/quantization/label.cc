#include "runner/checkpoint/quantization/label.h"

#include <fmt/format.h>

namespace glm::runner {

std::string_view name(QuantMethod method) {
  switch (method) {
    case QuantMethod::none:
      return "";
    case QuantMethod::compressed_tensors:
      return "compressed-tensors";
    case QuantMethod::awq:
      return "AWQ";
    case QuantMethod::gptq:
      return "GPTQ";
    case QuantMethod::modelopt:
      return "ModelOpt";
    case QuantMethod::fp8:
      return "";  // the format's own name says it
  }
  return "";
}

namespace quantization {

std::string label_of(const FormatLabel& parts) {
  std::string label(parts.type);
  if (parts.asymmetric) label += " asym";
  if (!parts.geometry.empty()) label.append(" ").append(parts.geometry);
  if (parts.activation_order) label += " act-order";
  if (!name(parts.method).empty()) label += fmt::format(" ({})", name(parts.method));
  return label;
}

std::string geometry_of(std::int64_t group) {
  return group > 0 ? fmt::format("g{}", group) : "channel";
}

void LabelList::add(std::string label) {
  constexpr std::size_t kShownMax = 4;
  if (!seen_.insert(label).second || shown_.size() == kShownMax) return;
  shown_.push_back(std::move(label));
}

std::string LabelList::text() const {
  std::string text = fmt::format("{}", fmt::join(shown_, ", "));
  if (seen_.size() > shown_.size())
    text += fmt::format(" and {} more", seen_.size() - shown_.size());
  return text;
}

}  // namespace quantization
}  // namespace glm::runner
