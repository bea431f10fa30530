#include "runner/checkpoint/model_facts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "runner/checkpoint/formats.h"
#include "runner/checkpoint/quantization.h"

namespace glm::runner {
namespace {

constexpr std::uint64_t kConfigMaxBytes = 64U << 20U;  // ignore lists of quantizers grow long

struct Parameters {
  std::uint64_t all = 0;
  std::uint64_t active = 0;
};

Parameters count_parameters(const ModelConfig& c) {
  const MlaDims& mla = c.mla;
  const std::int64_t norms = 2 * c.hidden_size + mla.q_rank + mla.kv_rank;
  const std::int64_t attention = c.hidden_size * mla.q_rank + mla.q_rank * c.heads * mla.qk_dim() +
                                 c.hidden_size * mla.cache_dim() +
                                 mla.kv_rank * c.heads * (mla.nope_dim + mla.v_dim) +
                                 c.heads * mla.v_dim * c.hidden_size;
  const std::int64_t dense = 3 * c.hidden_size * c.intermediate_size;
  const std::int64_t expert = 3 * c.hidden_size * c.moe.intermediate_size;
  const std::int64_t router = c.moe.experts * (c.hidden_size + 1);
  const std::int64_t moe_layers = c.layers - c.dense_layers;
  const std::int64_t head = c.vocab_size * c.hidden_size;
  const std::int64_t shared = c.layers * (attention + norms) + c.dense_layers * dense +
                              moe_layers * (router + c.moe.shared_experts * expert) +
                              c.hidden_size + head;
  const std::int64_t table = c.tied_embeddings ? 0 : head;
  return {static_cast<std::uint64_t>(shared + table + moe_layers * c.moe.experts * expert),
          static_cast<std::uint64_t>(shared + moe_layers * c.moe.experts_per_token * expert)};
}

ModelFacts facts_from(ModelConfig config, GenerationConfig generation) {
  ModelFacts facts;
  facts.architecture = config.architecture;
  facts.vocab_size = static_cast<std::int32_t>(config.vocab_size);
  facts.context_max = config.context_max;
  facts.eos_ids = generation.eos_ids.empty() ? config.eos_ids : generation.eos_ids;
  facts.generation = generation.defaults;
  const Parameters parameters = count_parameters(config);
  facts.parameters = parameters.all;
  facts.parameters_active = parameters.active;
  facts.kv_bytes_per_token = static_cast<std::uint64_t>(config.layers * config.mla.cache_dim() * 2);
  facts.latent_norm_eps = config.rms_norm_eps;
  facts.config = std::move(config);
  return facts;
}

std::string label_of_dtype(std::string_view dtype) {
  if (dtype == "bfloat16") return "bf16";
  if (dtype == "float16") return "f16";
  if (dtype == "float32") return "f32";
  return std::string(dtype);
}

Result<ModelFacts> inspect_texts(std::string_view config_json, std::string_view generation_json,
                                 const CheckpointFiles& files) {
  ModelConfig config = GLM_TRY(parse_model_config(config_json));
  const Quantization quantization = GLM_TRY(find_quantization(config_json, files));
  GenerationConfig generation;
  if (!generation_json.empty()) generation = GLM_TRY(parse_generation_config(generation_json));
  ModelFacts facts = facts_from(std::move(config), std::move(generation));
  facts.format_summary =
      quantization.label.empty() ? label_of_dtype(facts.config.dtype) : quantization.label;
  return facts;
}

// The number after "model.layers.".
std::optional<std::int64_t> layer_of(std::string_view module) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!module.starts_with(kPrefix)) return {};
  module.remove_prefix(kPrefix.size());
  std::int64_t layer = 0;
  const auto [end, error] = std::from_chars(module.data(), module.data() + module.size(), layer);
  if (error != std::errc() || layer < 0) return {};
  return layer;
}

struct GroupRow {
  std::string_view part;  // of the module's name
  std::string_view group;
};
constexpr std::array<GroupRow, 9> kGroups = {{
    {"embed_tokens", "embeddings"},
    {"lm_head", "output head"},
    {"norm", "norms"},
    {".self_attn.", "attention"},
    {".mlp.experts", "experts"},
    {".mlp.shared_experts.", "shared experts"},
    {".mlp.gate.", "router"},
    {".mlp.", "dense mlp"},
    {"", "other"},
}};

std::string_view group_of(std::string_view module, const ModelConfig& config) {
  const std::optional<std::int64_t> layer = layer_of(module);
  if (layer && *layer >= config.layers) return "mtp";
  const std::string closed = std::string(module) + ".";  // ".mlp.gate." is not ".mlp.gate_proj."
  for (const GroupRow& row : kGroups) {
    if (closed.find(row.part) != std::string::npos) return row.group;
  }
  return "other";
}

// "model.norm.weight" -> "model.norm".
std::string_view module_of(std::string_view tensor) {
  return tensor.substr(0, std::min(tensor.rfind('.'), tensor.size()));
}

struct Stored {
  std::string label;
  std::uint64_t parameters = 0;
};

// Every linear weight goes through its format; vectors and fused experts are plain tensors.
Result<std::optional<Stored>> stored_module(const Checkpoint& checkpoint, const TensorInfo& tensor,
                                            const std::string& module) {
  const std::string_view suffix =
      std::string_view(tensor.name).substr(std::min(module.size() + 1, tensor.name.size()));
  const bool plain_float = tensor.dtype == kernels::Dtype::bf16 ||
                           tensor.dtype == kernels::Dtype::f16 ||
                           tensor.dtype == kernels::Dtype::f32;
  const bool linear = (suffix == "weight" && !(plain_float && tensor.shape.size() != 2)) ||
                      suffix == "weight_packed" || suffix == "qweight" || suffix == "W_q" ||
                      suffix == "trellis" || suffix == "q_weight" || suffix == "compressed" ||
                      suffix.ends_with("_blocks");
  if (linear) {
    const StoredWeight stored = GLM_TRY(detect_format(checkpoint, module));
    return std::optional<Stored>(
        Stored{stored.label, static_cast<std::uint64_t>(stored.layout.rows * stored.layout.cols)});
  }
  const bool whole = suffix == "weight" || suffix == "bias" ||
                     suffix == "e_score_correction_bias" || tensor.shape.size() == 3;
  if (!whole || !plain_float) return std::optional<Stored>();
  return std::optional<Stored>(Stored{std::string(kernels::name(tensor.dtype)),
                                      static_cast<std::uint64_t>(tensor.elements())});
}

Status add_formats(const Checkpoint& checkpoint, ModelFacts& facts) {
  std::map<std::pair<std::string, std::string>, FormatGroup> groups;
  std::set<std::string> refused;
  for (const TensorInfo* tensor : checkpoint.tensors()) {
    const std::string module(module_of(tensor->name));
    const std::string group(group_of(module, facts.config));
    Result<std::optional<Stored>> stored = stored_module(checkpoint, *tensor, module);
    if (!stored.ok()) {
      // Nothing depends on these layers being readable.
      const bool needed = group != "mtp" && group != "other";
      if (needed) return std::move(stored).error();
      refused.insert(group);
      continue;
    }
    if (!*stored) continue;
    FormatGroup& row = groups[{group, (*stored)->label}];
    row.group = group;
    row.format = (*stored)->label;
    row.modules += 1;
    row.parameters += (*stored)->parameters;
  }
  for (const std::string& group : refused) {
    facts.notes.push_back(fmt::format("some '{}' tensors are in a format that is not read", group));
  }
  std::map<std::string, std::uint64_t> by_format;
  for (auto& [key, row] : groups) {
    if (row.group != "mtp") by_format[row.format] += row.parameters;
    facts.formats.push_back(std::move(row));
  }
  std::stable_sort(
      facts.formats.begin(), facts.formats.end(),
      [](const FormatGroup& a, const FormatGroup& b) { return a.parameters > b.parameters; });
  const auto most = std::max_element(by_format.begin(), by_format.end(),
                                     [](auto& a, auto& b) { return a.second < b.second; });
  if (most != by_format.end()) facts.format_summary = most->first;
  return Ok{};
}

Status add_checkpoint(const Checkpoint& checkpoint, ModelFacts& facts) {
  facts.weight_bytes = checkpoint.size_bytes();
  facts.notes = checkpoint.notes();
  facts.has_mtp =
      checkpoint.find(fmt::format("model.layers.{}.eh_proj.weight", facts.config.layers)) !=
          nullptr ||
      checkpoint.find(fmt::format("model.layers.{}.eh_proj.weight_packed", facts.config.layers)) !=
          nullptr;
  return add_formats(checkpoint, facts);
}

}  // namespace

Result<ModelFacts> inspect_config(std::string_view config_json,
                                  std::string_view generation_config_json) {
  return inspect_texts(config_json, generation_config_json, {});
}

Result<ModelFacts> inspect_small_files(const CheckpointFiles& files) {
  const std::string config = GLM_TRY(read_small_file(files, "config.json", kConfigMaxBytes));
  std::string generation;
  if (files.contains("generation_config.json")) {
    generation = GLM_TRY(read_small_file(files, "generation_config.json", kConfigMaxBytes));
  }
  return inspect_texts(config, generation, files);
}

Result<ModelFacts> inspect(const CheckpointFiles& files) {
  ModelFacts facts = GLM_TRY(inspect_small_files(files));
  GLM_TRY(add_checkpoint(GLM_TRY(Checkpoint::open(files)), facts));
  return facts;
}

Result<ModelFacts> inspect_headers(const CheckpointFiles& small_files,
                                   std::span<const ShardHeader> shards) {
  ModelFacts facts = GLM_TRY(inspect_small_files(small_files));
  const SafetensorsIndex index = GLM_TRY(read_index(small_files));
  GLM_TRY(add_checkpoint(GLM_TRY(Checkpoint::from_headers(index, shards)), facts));
  return facts;
}

std::string facts_json(const ModelFacts& facts) {
  nlohmann::ordered_json json = {
      {"architecture", facts.architecture},
      {"parameters", facts.parameters},
      {"parameters_active", facts.parameters_active},
      {"format", facts.format_summary},
      {"context_max", facts.context_max},
      {"hidden_size", facts.config.hidden_size},
      {"layers", facts.config.layers},
      {"vocab_size", facts.vocab_size},
      {"eos_ids", facts.eos_ids},
      {"kv_bytes_per_token", facts.kv_bytes_per_token},
      {"weight_bytes", facts.weight_bytes},
      {"has_mtp", facts.has_mtp},
  };
  if (facts.config.moe.experts > 0) {
    json["experts"] = facts.config.moe.experts;
    json["experts_per_token"] = facts.config.moe.experts_per_token;
  }
  nlohmann::ordered_json formats = nlohmann::ordered_json::array();
  for (const FormatGroup& row : facts.formats) {
    formats.push_back({{"group", row.group},
                       {"format", row.format},
                       {"modules", row.modules},
                       {"parameters", row.parameters}});
  }
  if (!formats.empty()) json["formats"] = std::move(formats);
  if (!facts.notes.empty()) json["notes"] = facts.notes;
  return json.dump();
}

}  // namespace glm::runner
