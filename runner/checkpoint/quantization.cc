#include "runner/checkpoint/quantization.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "runner/checkpoint/json_fields.h"

namespace glm::runner {
namespace {

constexpr std::uint64_t kSidecarMaxBytes = 64U << 20U;

struct Found {
  nlohmann::json description;
  std::string where;  // "config.json: quantization_config"
};

// How a method that does not run yet is called, and why not.
struct Refusal {
  std::string_view method;
  std::string_view name;
  std::string_view missing;
};
constexpr std::array<Refusal, 24> kRefusals = {{
    {"awq", "AWQ", "its interleaved 4-bit layout with zero points"},
    {"gptq", "GPTQ", "its transposed 4-bit layout with zero points"},
    {"modelopt", "ModelOpt", "NVFP4 and FP8 weights"},
    {"fp8", "FP8", "8-bit floating-point weights"},
    {"auto-round", "AutoRound", "its GPTQ-like layout"},
    {"inc", "AutoRound", "its GPTQ-like layout"},
    {"mxfp4", "MXFP4", "4-bit floating-point weights"},
    {"mlx", "MLX", "its 32-bit packed layout with biases"},
    {"bitsandbytes", "bitsandbytes", "its code books and nested scales"},
    {"hqq", "HQQ", "its axis-wise zero points"},
    {"exl2", "EXL2", "its mixed bit widths"},
    {"exl3", "EXL3", "trellis-coded weights with Hadamard transforms"},
    {"quark", "Quark", "its layouts"},
    {"torchao", "torchao", "its serialised tensor classes"},
    {"quanto", "Quanto", "its serialised tensor classes"},
    {"aqlm", "AQLM", "additive code books"},
    {"vptq", "VPTQ", "vector code books"},
    {"higgs", "HIGGS", "Hadamard transforms and grids"},
    {"spqr", "SpQR", "sparse outliers"},
    {"eetq", "EETQ", "its int8 layout"},
    {"bitnet", "BitNet", "ternary weights"},
    {"fbgemm-fp8", "FBGEMM FP8", "8-bit floating-point weights"},
    {"qqq", "QQQ", "4-bit weights with 8-bit activations"},
    {"gguf", "GGUF", "its block formats"},
}};

constexpr std::string_view kSibling =
    "unquantized and symmetric int4 or int8 compressed-tensors checkpoints run";

Error refuse(std::string_view where, std::string_view name, std::string_view missing) {
  return make_error(Errc::unsupported, "{}: {} is not supported yet: what is missing is {}; {}",
                    where, name, missing, kSibling);
}

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

std::optional<Found> in_config(const nlohmann::json& config) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (config.contains(key) && config[key].is_object()) {
      return Found{config[key], fmt::format("config.json: {}", key)};
    }
  }
  if (config.contains("text_config") && config["text_config"].is_object()) {
    const nlohmann::json& inner = config["text_config"];
    if (inner.contains("quantization_config") && inner["quantization_config"].is_object()) {
      return Found{inner["quantization_config"], "config.json: text_config.quantization_config"};
    }
  }
  if (config.contains("quantization") && config["quantization"].is_object()) {
    return Found{config["quantization"], "config.json: quantization"};
  }
  return {};
}

// Written by tools that do not touch config.json; each implies its method.
struct Sidecar {
  const char* file;
  const char* key;  // must be there
  const char* method;
};
constexpr std::array<Sidecar, 4> kSidecars = {{
    {"hf_quant_config.json", "quantization", "modelopt"},
    {"quantize_config.json", "bits", "gptq"},
    {"quant_config.json", "w_bit", "awq"},
    {"quantization_config.json", "tensor_storage", "exl3"},
}};

Result<std::optional<Found>> in_sidecars(const CheckpointFiles& files) {
  for (const Sidecar& row : kSidecars) {
    if (!files.contains(row.file)) continue;
    const std::string text = GLM_TRY(read_small_file(files, row.file, kSidecarMaxBytes));
    JsonFields fields = GLM_TRY(JsonFields::parse(text, row.file));
    if (!fields.has(row.key)) continue;
    nlohmann::json description = fields.json();
    if (!description.contains("quant_method")) description["quant_method"] = row.method;
    return std::optional<Found>(Found{std::move(description), row.file});
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

// One entry of compressed-tensors' config_groups; the label of its weights, empty for none.
Result<std::string> group_label(const JsonFields& groups, const std::string& key) {
  const nlohmann::json& value = groups.json()[key];
  const std::string where = fmt::format("{}.{}", groups.prefix(), key);
  if (value.is_array()) {  // the key is the name of a preset
    if (key == "W4A16") return std::string("int4 g128 (compressed-tensors)");
    if (key == "UNQUANTIZED") return std::string();
    return refuse(where, fmt::format("compressed-tensors preset {}", key), "its weight format");
  }
  if (!value.is_object()) return groups.wrong(key, "an object");
  const JsonFields group(value, where);
  const std::optional<JsonFields> weights = GLM_TRY(group.object("weights"));
  if (!weights) return std::string();
  const std::string type = GLM_TRY(weights->text("type", "int"));
  const std::int64_t bits = GLM_TRY(weights->integer("num_bits", {1, 64}, 8));
  const bool symmetric = GLM_TRY(weights->boolean("symmetric", true));
  const std::int64_t size = GLM_TRY(weights->integer("group_size", {-1, 1 << 20}, -1));
  if (type != "int" || (bits != 4 && bits != 8)) {
    return refuse(where, fmt::format("compressed-tensors {}{}", type, bits),
                  fmt::format("{}-bit {} weights", bits, type == "int" ? "integer" : "float"));
  }
  if (!symmetric) {
    return refuse(where, fmt::format("compressed-tensors int{}, asymmetric", bits),
                  "weights with zero points");
  }
  return size > 0 ? fmt::format("int{} g{} (compressed-tensors)", bits, size)
                  : fmt::format("int{} channel (compressed-tensors)", bits);
}

// True for a sub-configuration that is there and says something.
bool says_something(const nlohmann::json& object, const char* key) {
  return object.contains(key) && !object[key].is_null() && !object[key].empty();
}

Result<Quantization> read_compressed_tensors(const Found& found) {
  const JsonFields fields(found.description, found.where);
  if (says_something(fields.json(), "transform_config")) {
    return refuse(found.where + ".transform_config", "compressed-tensors with transforms",
                  "online Hadamard transforms");
  }
  if (says_something(fields.json(), "sparsity_config")) {
    const nlohmann::json& sparsity = fields.json()["sparsity_config"];
    if (!sparsity.is_object() || text_of(sparsity, "format") != "dense") {
      return refuse(found.where + ".sparsity_config", "compressed-tensors with sparsity",
                    "sparse weights");
    }
  }
  Quantization result{.method = "compressed-tensors", .label = ""};
  const std::string format = text_of(fields.json(), "format");
  if (format == "dense" || format == "fakequant") return result;
  const std::optional<JsonFields> groups = GLM_TRY(fields.object("config_groups"));
  if (!groups) return result;
  for (const auto& item : groups->json().items()) {
    const std::string label = GLM_TRY(group_label(*groups, item.key()));
    if (label.empty() || label == result.label) continue;
    if (!result.label.empty()) result.label += ", ";
    result.label += label;
  }
  return result;
}

}  // namespace

Result<Quantization> find_quantization(std::string_view config_json, const CheckpointFiles& files) {
  const JsonFields config = GLM_TRY(JsonFields::parse(config_json, "config.json"));
  std::optional<Found> found = in_config(config.json());
  if (!found) found = GLM_TRY(in_sidecars(files));
  if (!found) return Quantization{};
  const std::string method = method_of(found->description);
  if (method == "compressed-tensors") return read_compressed_tensors(*found);
  for (const Refusal& row : kRefusals) {
    if (row.method == method) return refuse(found->where, row.name, row.missing);
  }
  if (method.empty()) {
    return make_error(Errc::unsupported, "{}: names no quant_method; {}", found->where, kSibling);
  }
  return make_error(Errc::unsupported, "{}: quant_method '{}' is unknown to this program; {}",
                    found->where, method, kSibling);
}

}  // namespace glm::runner
