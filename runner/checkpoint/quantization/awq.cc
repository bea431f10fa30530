// AutoAWQ: {bits | w_bit, group_size | q_group_size, zero_point, version, modules_to_not_convert}.
// Names in the list are pieces of module names.
#include <algorithm>
#include <cctype>

#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner::quantization {

Status read_awq(const Description& description, Quantization& result) {
  const JsonFields& fields = description.fields;
  std::string version = GLM_TRY(fields.text("version", "gemm"));
  std::transform(version.begin(), version.end(), version.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (version != "gemm") {
    return refuse(fields.prefix(), fmt::format("AWQ version {}", version),
                  "its layout (only gemm is read)");
  }
  const char* bits_name = fields.has("bits") ? "bits" : "w_bit";
  const char* group_name = fields.has("group_size") ? "group_size" : "q_group_size";
  const std::int64_t bits = GLM_TRY(fields.integer(bits_name, {1, 16}, 4));
  if (bits != 4) return refuse(fields.prefix(), fmt::format("{}-bit AWQ", bits), "its packing");
  // What the configuration leaves out is usual, not said.
  constexpr std::int64_t kUsualGroup = 128;
  const std::int64_t group = GLM_TRY(fields.integer(group_name, {-1, 1 << 20}, kUsualGroup));
  const bool asymmetric = GLM_TRY(fields.boolean("zero_point", true));
  ModuleScheme scheme{.method = QuantMethod::awq, .quantized = true};
  if (fields.has(bits_name)) scheme.bits = bits;
  if (fields.has(group_name)) scheme.group = group;
  if (fields.has("zero_point")) scheme.symmetric = !asymmetric;

  result.unnamed = plain_beside(scheme);
  for (std::string& text : GLM_TRY(text_list(fields, "modules_to_not_convert"))) {
    result.rules.push_back({ModulePattern::piece(std::move(text)), result.unnamed});
  }
  result.rules.push_back({ModulePattern::exactly("lm_head"), result.unnamed});
  result.rules.push_back({ModulePattern::linear_layers(), scheme});
  result.label = label_of({.type = "int4",
                           .geometry = geometry_of(group),
                           .method = QuantMethod::awq,
                           .asymmetric = asymmetric});
  return Ok{};
}

}  // namespace glm::runner::quantization
