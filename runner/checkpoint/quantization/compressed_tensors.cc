// compressed-tensors: {format, config_groups: {name: {targets, weights, format}}, ignore}.
//
// Whatever matches `ignore` is plain. Of the groups whose targets match, the one named exactly
// comes first, then regular expressions ("re:…"), then class names, each in the order of the
// alphabet. The format of a group wins over that of the whole.
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

#include "runner/checkpoint/quantization/methods.h"

namespace glm::runner::quantization {
namespace {

constexpr QuantMethod kMethod = QuantMethod::compressed_tensors;

struct Group {
  ModuleScheme scheme;
  std::string label;  // empty: its modules are plain
};

struct Target {
  enum class Kind { exact, regex, class_name } kind;
  std::string text;
  std::size_t group;
};

// What the names of presets stand for. Some changed their meaning, so sizes of groups come from the
// tensors.
struct Preset {
  std::string_view name;
  std::string_view type;
  std::string_view geometry;
  std::int64_t bits;
  bool symmetric;
};
constexpr std::array<Preset, 16> kPresets = {{
    {"W4A16", "int4", "g128", 4, true},
    {"W4A16_ASYM", "int4", "g128", 4, false},
    {"W8A16", "int8", "", 8, true},
    {"W4A8", "int4", "g128", 4, true},
    {"W4AFP8", "int4", "g128", 4, true},
    {"W8A8", "int8", "channel", 8, true},
    {"INT8", "int8", "channel", 8, true},
    {"FP8", "fp8", "tensor", 8, true},
    {"FP8_DYNAMIC", "fp8", "channel", 8, true},
    {"FP8_BLOCK", "fp8", "block 128x128", 8, true},
    {"NVFP4A16", "nvfp4", "", 4, true},
    {"NVFP4", "nvfp4", "", 4, true},
    {"MXFP4A16", "mxfp4", "", 4, true},
    {"MXFP4", "mxfp4", "", 4, true},
    {"MXFP8A16", "mxfp8", "", 8, true},
    {"MXFP8", "mxfp8", "", 8, true},
}};

Group plain_group() {
  return {.scheme = {.method = kMethod}, .label = ""};
}

Result<Group> preset_group(const std::string& key, const std::string& where) {
  if (key == "UNQUANTIZED") return plain_group();
  for (const Preset& row : kPresets) {
    if (row.name != key) continue;
    return Group{.scheme = {.method = kMethod,
                            .quantized = true,
                            .bits = row.bits,
                            .symmetric = row.symmetric,
                            .floating = !row.type.starts_with("int"),
                            .blocks = row.geometry.starts_with("block")},
                 .label = label_of({.type = row.type,
                                    .geometry = row.geometry,
                                    .method = kMethod,
                                    .asymmetric = !row.symmetric})};
  }
  return refuse(where, fmt::format("compressed-tensors preset {}", key), "its weight format");
}

using Sides = std::array<std::int64_t, 2>;

// "128x128"; zeros where it is not that.
Sides sides_in(std::string_view text) {
  constexpr std::size_t kTextMaxBytes = 16;
  const std::size_t middle = text.find('x');
  if (text.size() > kTextMaxBytes || middle == std::string_view::npos) return {};
  const auto side = [](std::string_view digits) {
    std::int64_t value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    return error == std::errc() && stop == end ? value : 0;
  };
  return {side(text.substr(0, middle)), side(text.substr(middle + 1))};
}

// [128, 128], or "128x128" as older files have it.
Status read_block(const JsonFields& weights, ModuleScheme& scheme) {
  const nlohmann::json* block = weights.find("block_structure");
  if (block == nullptr) return Ok{};
  Sides sides = {};
  if (block->is_string()) sides = sides_in(block->get_ref<const std::string&>());
  for (std::size_t i = 0; i < 2 && block->is_array() && block->size() == 2; ++i) {
    if ((*block)[i].is_number_integer()) sides[i] = (*block)[i].get<std::int64_t>();
  }
  constexpr std::int64_t kSideMax = 1 << 16;
  for (const std::int64_t side : sides) {
    if (side < 1 || side > kSideMax) {
      return weights.wrong("block_structure", "two numbers such as [128, 128]");
    }
  }
  scheme.block_rows = sides[0];
  scheme.block_cols = sides[1];
  return Ok{};
}

// actorder: null, false, "weight" and "static" leave the columns where they are.
Result<bool> has_activation_order(const JsonFields& weights) {
  const nlohmann::json* value = weights.find("actorder");
  if (value == nullptr) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (!value->is_string()) return weights.wrong("actorder", "\"group\", \"weight\" or null");
  const auto text = value->get<std::string>();
  return text == "group" || text == "dynamic";
}

Result<std::string> float_label(const JsonFields& weights, const ModuleScheme& scheme,
                                const std::string& strategy) {
  if (scheme.bits == 4) {
    if (scheme.group != 16 && scheme.group != 32 && scheme.group != 0) {
      return refuse(weights.prefix(), fmt::format("4-bit floats in groups of {}", scheme.group),
                    "their scales (NVFP4 has groups of 16, MXFP4 of 32)");
    }
    return label_of({.type = scheme.group == 32 ? "mxfp4" : "nvfp4", .method = kMethod});
  }
  if (scheme.bits != 8) {
    return refuse(weights.prefix(), fmt::format("compressed-tensors float{}", scheme.bits),
                  fmt::format("{}-bit floats", scheme.bits));
  }
  // Scales that are bytes are powers of two.
  if (scheme.group == 32 && GLM_TRY(weights.text("scale_dtype", "")) == "torch.uint8") {
    return label_of({.type = "mxfp8", .method = kMethod});
  }
  std::string geometry = geometry_of(scheme.group);
  if (strategy == "tensor") geometry = "tensor";
  if (strategy == "block") {
    geometry = fmt::format("block {}x{}", scheme.block_rows, scheme.block_cols);
  }
  return label_of({.type = "fp8", .geometry = geometry, .method = kMethod});
}

Result<Group> group_from(const JsonFields& weights) {
  ModuleScheme scheme{.method = kMethod, .quantized = true};
  const std::string type = GLM_TRY(weights.text("type", "int"));
  scheme.bits = GLM_TRY(weights.integer("num_bits", {1, 64}, 8));
  scheme.symmetric = GLM_TRY(weights.boolean("symmetric", true));
  const std::int64_t group = GLM_TRY(weights.integer("group_size", {-1, 1 << 20}, 0));
  const std::string strategy =
      GLM_TRY(weights.text("strategy", group > 0 ? "group" : (group < 0 ? "channel" : "tensor")));
  scheme.group = strategy == "channel" ? -1 : group;
  scheme.floating = type == "float";
  scheme.blocks = strategy == "block";
  scheme.activation_order = GLM_TRY(has_activation_order(weights));
  GLM_TRY(read_block(weights, scheme));
  if (type == "float") return Group{scheme, GLM_TRY(float_label(weights, scheme, strategy))};
  if (type != "int" || (scheme.bits != 4 && scheme.bits != 8)) {
    return refuse(weights.prefix(), fmt::format("compressed-tensors {}{}", type, scheme.bits),
                  fmt::format("{}-bit {} weights", scheme.bits, type));
  }
  const std::string name = fmt::format("int{}", scheme.bits);
  const std::string geometry = strategy == "tensor" ? "tensor" : geometry_of(scheme.group);
  return Group{scheme, label_of({.type = name,
                                 .geometry = geometry,
                                 .method = kMethod,
                                 .asymmetric = !*scheme.symmetric,
                                 .activation_order = scheme.activation_order})};
}

bool stores_plain(const std::string& format) {
  return format == "dense" || format == "fakequant";
}

// True for a sub-configuration that is there and says something.
bool says_something(const JsonFields& fields, const char* key) {
  const nlohmann::json* value = fields.find(key);
  return value != nullptr && !value->empty();
}

Status refuse_what_changes_weights(const JsonFields& fields) {
  if (says_something(fields, "transform_config")) {
    return refuse(fields.prefix() + ".transform_config", "compressed-tensors with transforms",
                  "online Hadamard transforms");
  }
  if (!says_something(fields, "sparsity_config")) return Ok{};
  const std::optional<JsonFields> sparsity = GLM_TRY(fields.object("sparsity_config"));
  if (sparsity && GLM_TRY(sparsity->text("format", "")) == "dense") return Ok{};
  return refuse(fields.prefix() + ".sparsity_config", "compressed-tensors with sparsity",
                "sparse weights");
}

Target target_of(std::string text, std::size_t group) {
  if (text.starts_with("re:")) return {Target::Kind::regex, text.substr(3), group};
  const bool named = text.find('.') != std::string::npos ||
                     (!text.empty() && std::islower(static_cast<unsigned char>(text.front())) != 0);
  return {named ? Target::Kind::exact : Target::Kind::class_name, std::move(text), group};
}

// Classes that are not linear layers have no weights of the kind that is quantized here.
bool is_linear_class(const std::string& text) {
  std::string lower;
  for (const char c : text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower.find("linear") != std::string::npos;
}

Status add_rules(const JsonFields& fields, std::vector<Target> targets,
                 const std::vector<Group>& groups, Quantization& result) {
  for (const std::string& text : GLM_TRY(text_list(fields, "ignore"))) {
    const Target target = target_of(text, 0);
    if (target.kind == Target::Kind::class_name) continue;
    ModulePattern pattern = ModulePattern::exactly(target.text);
    if (target.kind == Target::Kind::regex) {
      pattern = GLM_TRY(ModulePattern::regex(target.text).with(fields.prefix() + ": ignore"));
    }
    GLM_TRY(add_rule(fields, {std::move(pattern), result.unnamed}, result));
  }
  std::stable_sort(targets.begin(), targets.end(), [](const Target& a, const Target& b) {
    return std::pair(a.kind, a.text) < std::pair(b.kind, b.text);
  });
  for (const Target& target : targets) {
    const ModuleScheme& scheme = groups[target.group].scheme;
    if (target.kind == Target::Kind::exact) {
      result.rules.push_back({ModulePattern::exactly(target.text), scheme});
    } else if (target.kind == Target::Kind::regex) {
      ModulePattern pattern =
          GLM_TRY(ModulePattern::regex(target.text).with(fields.prefix() + ": targets"));
      GLM_TRY(add_rule(fields, {std::move(pattern), scheme}, result));
    } else if (is_linear_class(target.text)) {
      result.rules.push_back({ModulePattern::linear_layers(), scheme});
    }
  }
  return Ok{};
}

}  // namespace

Status read_compressed_tensors(const Description& description, Quantization& result) {
  const JsonFields& fields = description.fields;
  GLM_TRY(refuse_what_changes_weights(fields));
  const std::string format = GLM_TRY(fields.text("format", ""));
  const std::string status = GLM_TRY(fields.text("quantization_status", "compressed"));
  if (stores_plain(format) || (status != "compressed" && status != "frozen")) return Ok{};
  if (format == "marlin-24" || format.starts_with("sparse")) {
    return refuse(fields.prefix(), fmt::format("compressed-tensors {}", format), "sparse weights");
  }
  const std::optional<JsonFields> entries = GLM_TRY(fields.object("config_groups"));
  if (!entries) return Ok{};
  std::vector<Group> groups;
  std::vector<Target> targets;
  for (const auto& item : entries->json().items()) {
    const std::string where = fmt::format("{}.{}", entries->prefix(), item.key());
    const std::size_t number = groups.size();
    std::vector<std::string> texts;
    if (item.value().is_array()) {  // the key is the name of a preset
      groups.push_back(GLM_TRY(preset_group(item.key(), where)));
      texts = GLM_TRY(text_list(*entries, item.key()));
    } else if (item.value().is_object()) {
      const JsonFields entry(item.value(), where);
      const std::optional<JsonFields> weights = GLM_TRY(entry.object("weights"));
      const bool plain = !weights || stores_plain(GLM_TRY(entry.text("format", format)));
      groups.push_back(plain ? plain_group() : GLM_TRY(group_from(*weights)));
      texts = GLM_TRY(text_list(entry, "targets"));
    } else {
      return entries->wrong(item.key(), "an object");
    }
    for (std::string& text : texts) targets.push_back(target_of(std::move(text), number));
  }
  LabelList labels;
  for (Group& group : groups) {
    if (!group.label.empty()) labels.add(std::move(group.label));
  }
  result.label = labels.text();
  // Of several groups none speaks for the file.
  if (groups.size() == 1) result.unnamed = plain_beside(groups.front().scheme);
  return add_rules(fields, std::move(targets), groups, result);
}

}  // namespace glm::runner::quantization
