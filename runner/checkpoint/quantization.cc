#include "runner/checkpoint/quantization.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "runner/checkpoint/json_fields.h"
#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner {
namespace {

constexpr std::uint64_t kSidecarMaxBytes = 64U << 20U;

struct Found {
  nlohmann::json description;
  std::string where;  // "config.json: quantization_config"
  std::string file;   // the whole text it is from
};

struct MethodRow {
  std::string_view method;  // normalised quant_method
  QuantMethod kind;
  Status (*read)(const quantization::Description& description, Quantization& result);
};
constexpr std::array<MethodRow, 5> kMethods = {{
    {"compressed-tensors", QuantMethod::compressed_tensors, &quantization::read_compressed_tensors},
    {"awq", QuantMethod::awq, &quantization::read_awq},
    {"gptq", QuantMethod::gptq, &quantization::read_gptq},
    {"modelopt", QuantMethod::modelopt, &quantization::read_modelopt},
    {"fp8", QuantMethod::fp8, &quantization::read_fp8},
}};

std::string normalized(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  return text;
}

std::string text_of(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool is_mlx(const nlohmann::json& object) {
  return object.contains("group_size") && object.contains("bits") &&
         !object.contains("quant_method");
}

// An object that says something: exporters leave empty ones behind.
bool describes(const nlohmann::json& object, const char* key) {
  return object.contains(key) && object[key].is_object() && !object[key].empty();
}

// The key "quantization" is common enough to be about something else.
bool is_about_weights(const nlohmann::json& object) {
  return is_mlx(object) || object.contains("quant_method") || object.contains("quant_algo");
}

std::optional<Found> in_config(const nlohmann::json& config) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (describes(config, key)) {
      return Found{config[key], fmt::format("config.json: {}", key), {}};
    }
  }
  if (config.contains("text_config") && config["text_config"].is_object()) {
    const nlohmann::json& inner = config["text_config"];
    if (describes(inner, "quantization_config")) {
      return Found{
          inner["quantization_config"], "config.json: text_config.quantization_config", {}};
    }
  }
  if (describes(config, "quantization") && is_about_weights(config["quantization"])) {
    return Found{config["quantization"], "config.json: quantization", {}};
  }
  return {};
}

// Written by tools that do not touch config.json; each implies its method.
struct Sidecar {
  const char* file;
  const char* key;  // must be there
  const char* method;
  const char* also = nullptr;  // must be there, too
};
constexpr std::array<Sidecar, 8> kSidecars = {{
    {"hf_quant_config.json", "quantization", "modelopt"},
    {"quantize_config.json", "bits", "gptq"},
    {"quant_config.json", "w_bit", "awq"},
    {"quant_config.json", "bits", "gptq", "desc_act"},
    {"quant_config.json", "bits", "gptq", "sym"},
    {"quant_config.json", "bits", "awq", "zero_point"},
    {"quant_config.json", "bits", "awq", "version"},
    {"quantization_config.json", "tensor_storage", "exl3"},
}};

Result<std::optional<Found>> in_sidecars(const CheckpointFiles& files) {
  for (const Sidecar& row : kSidecars) {
    if (!files.contains(row.file)) continue;
    const std::string text = GLM_TRY(read_small_file(files, row.file, kSidecarMaxBytes));
    JsonFields fields = GLM_TRY(JsonFields::parse(text, row.file));
    if (!fields.has(row.key) || (row.also != nullptr && !fields.has(row.also))) continue;
    nlohmann::json description = fields.json();
    if (!description.contains("quant_method")) description["quant_method"] = row.method;
    return std::optional<Found>(Found{std::move(description), row.file, text});
  }
  return std::optional<Found>();
}

std::string method_of(const nlohmann::json& description) {
  if (is_mlx(description)) return "mlx";
  std::string method = normalized(text_of(description, "quant_method"));
  if (method.starts_with("modelopt")) return "modelopt";
  if (method == "auto-round" || method == "inc") return "auto-round";
  const bool modelopt = description.contains("quant_algo") ||
                        (description.contains("producer") && description["producer"].is_object() &&
                         text_of(description["producer"], "name") == "modelopt");
  if (method.empty() && modelopt) return "modelopt";
  if (method.empty() && description.contains("config_groups")) return "compressed-tensors";
  return method;
}

// What a ModelOpt sidecar says that config.json does not.
Result<Found> with_gaps_filled(Found found, const CheckpointFiles& files) {
  constexpr const char* kSidecar = "hf_quant_config.json";
  if (!files.contains(kSidecar)) return found;
  const std::string text = GLM_TRY(read_small_file(files, kSidecar, kSidecarMaxBytes));
  const JsonFields sidecar = GLM_TRY(JsonFields::parse(text, kSidecar));
  const std::optional<JsonFields> more = GLM_TRY(sidecar.object("quantization"));
  if (!more || found.description.contains("quantization")) return found;
  for (const auto& item : more->json().items()) {
    if (!found.description.contains(item.key())) found.description[item.key()] = item.value();
  }
  return found;
}

}  // namespace

void QuantRules::push_back(QuantRule rule) {
  const std::size_t number = rules_.size();
  switch (rule.pattern.kind()) {
    case ModulePattern::Kind::exact:
      exact_.emplace(rule.pattern.text(), number);
      break;
    case ModulePattern::Kind::within:
      within_.emplace(rule.pattern.text(), number);
      break;
    case ModulePattern::Kind::regex:
      ++regexes_;
      [[fallthrough]];
    default:
      others_.push_back(number);
  }
  rules_.push_back(std::move(rule));
}

const QuantRule* QuantRules::find(std::string_view module) const {
  std::size_t first = rules_.size();
  const auto look_up = [&](const FirstByName& names, std::string_view name) {
    if (const auto found = names.find(name); found != names.end()) {
      first = std::min(first, found->second);
    }
  };
  look_up(exact_, module);
  for (std::size_t end = module.find('.'); !within_.empty() && end != std::string_view::npos;
       end = module.find('.', end + 1)) {
    look_up(within_, module.substr(0, end));
  }
  look_up(within_, module);
  for (const std::size_t other : others_) {
    if (other >= first) break;
    if (rules_[other].pattern.matches(module)) return &rules_[other];
  }
  return first < rules_.size() ? &rules_[first] : nullptr;
}

ModuleScheme Quantization::scheme_of(std::string_view module) const {
  if (const QuantRule* rule = rules.find(module)) return rule->scheme;
  ModuleScheme scheme = unnamed;
  scheme.method = method;
  return scheme;
}

Result<Quantization> find_quantization(std::string_view config_json, const CheckpointFiles& files) {
  const JsonFields config = GLM_TRY(JsonFields::parse(config_json, "config.json"));
  std::optional<Found> found = in_config(config.json());
  if (found) {
    found->file = config_json;
  } else {
    found = GLM_TRY(in_sidecars(files));
  }
  if (!found) return Quantization{};
  const std::string method = method_of(found->description);
  if (method == "modelopt") found = GLM_TRY(with_gaps_filled(*std::move(found), files));
  for (const MethodRow& row : kMethods) {
    if (row.method != method) continue;
    Quantization result{.method = row.kind, .label = "", .where = found->where, .rules = {}};
    GLM_TRY(
        row.read({JsonFields(std::move(found->description), found->where), found->file}, result));
    return result;
  }
  if (const quantization::RefusedMethod* row = quantization::find_refused(method)) {
    return quantization::refuse(found->where, row->name, row->missing);
  }
  return quantization::refuse(found->where,
                              method.empty() ? "a quantization without quant_method"
                                             : fmt::format("quant_method '{}'", method),
                              "any knowledge of it");
}

}  // namespace glm::runner
