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

// In capitals.
Result<std::string> algo_name(const JsonFields& fields) {
  std::string algo = GLM_TRY(fields.text("quant_algo"));
  std::transform(algo.begin(), algo.end(), algo.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return algo;
}

// "quant_algo": null is how the exporter writes that nothing was quantized.
bool has_no_algo(const JsonFields& fields) {
  return fields.json().contains("quant_algo") && !fields.has("quant_algo");
}

Result<const AlgoRow*> find_algo(const JsonFields& fields) {
  const std::string algo = GLM_TRY(algo_name(fields));
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
          .symmetric = true,
          .floating = true,
          .blocks = row.geometry.starts_with("block")};
}

std::string label_of_algo(const AlgoRow& row) {
  return label_of({.type = row.type, .geometry = row.geometry, .method = QuantMethod::modelopt});
}

Status read_mixed(const JsonFields& fields, Quantization& result) {
  const std::optional<JsonFields> layers = GLM_TRY(fields.object("quantized_layers"));
  if (!layers) return fields.wrong("quantized_layers", "an object, as quant_algo is mixed");
  LabelList labels;
  for (const auto& item : layers->json().items()) {
    if (!item.value().is_object()) return layers->wrong(item.key(), "an object");
    const JsonFields layer(item.value(), layers->prefix());
    ModuleScheme scheme = result.unnamed;
    if (!has_no_algo(layer)) {
      const AlgoRow* row = GLM_TRY(find_algo(layer));
      scheme = scheme_of_algo(*row);
      labels.add(label_of_algo(*row));
    }
    GLM_TRY(add_rule(fields, {ModulePattern::wildcard(item.key()), scheme}, result));
  }
  result.label = labels.text();
  return Ok{};
}

}  // namespace

Status read_modelopt(const Description& description, Quantization& result) {
  const JsonFields& outer = description.fields;
  const std::optional<JsonFields> nested = GLM_TRY(outer.object("quantization"));
  const JsonFields& fields = nested ? *nested : outer;
  if (has_no_algo(fields)) return Ok{};
  if (GLM_TRY(algo_name(fields)) == "MIXED_PRECISION") return read_mixed(fields, result);
  const AlgoRow* row = GLM_TRY(find_algo(fields));
  result.unnamed = plain_beside(scheme_of_algo(*row));
  for (const char* list : {"exclude_modules", "ignore"}) {
    for (const std::string& text : GLM_TRY(text_list(fields, list))) {
      if (text.find_first_of("*?[") == std::string::npos) {
        result.rules.push_back({ModulePattern::within(text), result.unnamed});
        continue;
      }
      GLM_TRY(add_rule(fields, {ModulePattern::wildcard(text), result.unnamed}, result));
    }
  }
  result.rules.push_back({ModulePattern::linear_layers(), scheme_of_algo(*row)});
  result.label = label_of_algo(*row);
  return Ok{};
}

}  // namespace glm::runner::quantization
