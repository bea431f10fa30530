// GPTQ: {bits, group_size, desc_act, sym, checkpoint_format | format, dynamic, lm_head}.
//
// `dynamic` maps regular expressions to what differs there: "-:" in front means not quantized, "+:"
// or nothing overrides fields. The first match wins.
#include <set>
#include <string_view>

#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner::quantization {
namespace {

// The fields that may stand at the top and in an entry of `dynamic`; what is left out stays.
Result<ModuleScheme> scheme_from(const JsonFields& fields, ModuleScheme scheme) {
  scheme.bits = GLM_TRY(fields.integer("bits", {1, 16}, scheme.bits));
  if (scheme.bits != 0 && scheme.bits != 4 && scheme.bits != 8) {
    return refuse(fields.prefix(), fmt::format("{}-bit GPTQ", scheme.bits),
                  "a packing of other than 4 or 8 bits");
  }
  scheme.group = GLM_TRY(fields.integer("group_size", {-1, 1 << 20}, scheme.group));
  if (fields.has("sym")) scheme.symmetric = GLM_TRY(fields.boolean("sym"));
  scheme.activation_order = GLM_TRY(fields.boolean("desc_act", scheme.activation_order));
  return scheme;
}

// What the configuration leaves out is shown as it usually is; the tensors decide.
std::string label_of_scheme(const ModuleScheme& scheme) {
  constexpr std::int64_t kUsualBits = 4;
  constexpr std::int64_t kUsualGroup = 128;
  const std::string type = fmt::format("int{}", scheme.bits == 0 ? kUsualBits : scheme.bits);
  return label_of({.type = type,
                   .geometry = geometry_of(scheme.group == 0 ? kUsualGroup : scheme.group),
                   .method = QuantMethod::gptq,
                   .asymmetric = !scheme.symmetric.value_or(true),
                   .activation_order = scheme.activation_order});
}

// The keys of `dynamic`, all of them and no others: the file may hold another object of that name.
std::vector<std::string> keys_in_order(std::string_view file, const JsonFields& dynamic) {
  std::vector<std::string> keys;
  std::set<std::string> left;
  for (const auto& item : dynamic.json().items()) left.insert(item.key());
  for (std::string& key : key_order(file, "dynamic")) {
    if (left.erase(key) > 0) keys.push_back(std::move(key));
  }
  keys.insert(keys.end(), left.begin(), left.end());
  return keys;
}

}  // namespace

Status read_gptq(const Description& description, Quantization& result) {
  const JsonFields& fields = description.fields;
  const char* format_name = fields.has("checkpoint_format") ? "checkpoint_format" : "format";
  const std::string format = GLM_TRY(fields.text(format_name, "gptq"));
  const bool marlin = GLM_TRY(fields.boolean("is_marlin_format", false));
  if (marlin || (format != "gptq" && format != "gptq_v2")) {
    return refuse(fields.prefix(), fmt::format("GPTQ in the {} format", marlin ? "marlin" : format),
                  "its layout (gptq and gptq_v2 are read)");
  }
  const ModuleScheme base = GLM_TRY(scheme_from(
      fields,
      {.method = QuantMethod::gptq, .quantized = true, .zeros_less_one = format == "gptq"}));
  LabelList labels;
  labels.add(label_of_scheme(base));
  result.unnamed = plain_beside(base);
  if (const std::optional<JsonFields> dynamic = GLM_TRY(fields.object("dynamic"))) {
    for (const std::string& key : keys_in_order(description.file, *dynamic)) {
      const nlohmann::json* value = dynamic->find(key);
      std::string_view text = key;
      const bool without = text.starts_with("-:");
      if (without || text.starts_with("+:")) text.remove_prefix(2);
      const std::string where = fmt::format("{}.dynamic", fields.prefix());
      ModulePattern pattern = GLM_TRY(ModulePattern::regex(std::string(text)).with(where));
      ModuleScheme scheme = result.unnamed;
      if (!without) {
        if (value == nullptr || !value->is_object()) return dynamic->wrong(key, "an object");
        scheme = GLM_TRY(scheme_from(JsonFields(*value, where), base));
        labels.add(label_of_scheme(scheme));
      }
      GLM_TRY(add_rule(fields, {std::move(pattern), scheme}, result));
    }
  }
  if (!GLM_TRY(fields.boolean("lm_head", false))) {
    result.rules.push_back({ModulePattern::exactly("lm_head"), result.unnamed});
  }
  result.rules.push_back({ModulePattern::linear_layers(), base});
  result.label = labels.text();
  return Ok{};
}

}  // namespace glm::runner::quantization
