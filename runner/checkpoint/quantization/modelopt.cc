// NVIDIA ModelOpt: {quant_algo, group_size, exclude_modules | ignore, quantized_layers}, either in
// quantization_config itself or nested under "quantization" as in hf_quant_config.json. Its
// config_groups look like compressed-tensors and are not.
//
// Lists hold wildcards over module names; older exporters wrote bare prefixes.
#include <algorithm>
#include <array>
#include <cctype>

#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner::quantization {
namespace {

struct AlgoRow {
  std::string_view algo;
  std::string_view type;
  std::string_view geometry;
  std::int64_t bits;
  std::int64_t group;
};
constexpr std::array<AlgoRow, 6> kAlgos = {{
    {"NVFP4", "nvfp4", "", 4, 16},
    {"W4A16_NVFP4", "nvfp4", "", 4, 16},
    {"FP8", "fp8", "tensor", 8, 0},
    {"FP8_PER_CHANNEL_PER_TOKEN", "fp8", "channel", 8, -1},
    {"FP8_PB_WO", "fp8", "block 128x128", 8, 0},
    {"MXFP8", "mxfp8", "", 8, 32},
}};

Result<const AlgoRow*> find_algo(const JsonFields& fields) {
  std::string algo = GLM_TRY(fields.text("quant_algo"));
  std::transform(algo.begin(), algo.end(), algo.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const AlgoRow& row : kAlgos) {
    if (row.algo == algo) return &row;
  }
  return refuse(fields.prefix(), fmt::format("ModelOpt {}", algo),
                algo.find("AWQ") != std::string::npos || algo.find("SVD") != std::string::npos
                    ? "scales on the activations"
                    : "its weight format");
}

ModuleScheme scheme_of_algo(const AlgoRow& row) {
  return {.method = QuantMethod::modelopt,
          .quantized = true,
          .bits = row.bits,
          .group = row.group,
          .symmetric = true};
}

std::string label_of_algo(const AlgoRow& row) {
  return label_of({.type = row.type, .geometry = row.geometry, .method = QuantMethod::modelopt});
}

Status read_mixed(const JsonFields& fields, Quantization& result) {
  const std::optional<JsonFields> layers = GLM_TRY(fields.object("quantized_layers"));
  if (!layers) return fields.wrong("quantized_layers", "an object, as quant_algo is mixed");
  for (const auto& item : layers->json().items()) {
    if (!item.value().is_object()) return layers->wrong(item.key(), "an object");
    const AlgoRow* row = GLM_TRY(find_algo(JsonFields(item.value(), layers->prefix())));
    result.rules.push_back({ModulePattern::wildcard(item.key()), scheme_of_algo(*row)});
    const std::string label = label_of_algo(*row);
    if (result.label.find(label) != std::string::npos) continue;
    if (!result.label.empty()) result.label += ", ";
    result.label += label;
  }
  return Ok{};
}

}  // namespace

Status read_modelopt(const Description& description, Quantization& result) {
  const JsonFields& outer = description.fields;
  const std::optional<JsonFields> nested = GLM_TRY(outer.object("quantization"));
  const JsonFields& fields = nested ? *nested : outer;
  if (GLM_TRY(fields.text("quant_algo")) == "MIXED_PRECISION") return read_mixed(fields, result);
  const AlgoRow* row = GLM_TRY(find_algo(fields));
  result.unnamed = plain_beside(scheme_of_algo(*row));
  for (const char* list : {"exclude_modules", "ignore"}) {
    for (const std::string& text : GLM_TRY(text_list(fields, list))) {
      result.rules.push_back({ModulePattern::wildcard(text), result.unnamed});
      if (text.find('*') == std::string::npos) {
        result.rules.push_back({ModulePattern::wildcard(text + ".*"), result.unnamed});
      }
    }
  }
  result.rules.push_back({ModulePattern::linear_layers(), scheme_of_algo(*row)});
  result.label = label_of_algo(*row);
  return Ok{};
}

}  // namespace glm::runner::quantization
