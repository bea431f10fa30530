// FP8 in DeepSeek's way: {weight_block_size, activation_scheme, modules_to_not_convert |
// ignored_layers}. Without a block size there is one scale per tensor.
#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner::quantization {

Status read_fp8(const Description& description, Quantization& result) {
  const JsonFields& fields = description.fields;
  const std::string fmt_name = GLM_TRY(fields.text("fmt", "e4m3"));
  if (fmt_name != "e4m3" && fmt_name != "float8_e4m3fn") {
    return refuse(fields.prefix(), fmt::format("FP8 {}", fmt_name), "8-bit floats but E4M3");
  }
  ModuleScheme scheme{.method = QuantMethod::fp8, .quantized = true, .bits = 8, .floating = true};
  std::string geometry = "tensor";
  if (const nlohmann::json* size = fields.find("weight_block_size")) {
    const auto side = [&](std::size_t i) -> std::int64_t {
      const nlohmann::json& value = (*size)[i];
      return value.is_number_integer() ? value.get<std::int64_t>() : 0;
    };
    constexpr std::int64_t kSideMax = 1 << 16;
    const bool pair = size->is_array() && size->size() == 2 && side(0) >= 1 && side(1) >= 1 &&
                      side(0) <= kSideMax && side(1) <= kSideMax;
    if (!pair) return fields.wrong("weight_block_size", "two numbers such as [128, 128]");
    scheme.block_rows = side(0);
    scheme.block_cols = side(1);
    scheme.blocks = true;
    geometry = fmt::format("block {}x{}", scheme.block_rows, scheme.block_cols);
  }
  result.unnamed = plain_beside(scheme);
  for (const char* list : {"modules_to_not_convert", "ignored_layers"}) {
    for (std::string& text : GLM_TRY(text_list(fields, list))) {
      result.rules.push_back({ModulePattern::piece(std::move(text)), result.unnamed});
    }
  }
  result.rules.push_back({ModulePattern::exactly("lm_head"), result.unnamed});
  result.rules.push_back({ModulePattern::linear_layers(), scheme});
  result.label = label_of({.type = "fp8", .geometry = geometry, .method = QuantMethod::fp8});
  return Ok{};
}

}  // namespace glm::runner::quantization
