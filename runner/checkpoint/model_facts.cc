#include "runner/checkpoint/model_facts.h"

#include <optional>
#include <utility>

#include "runner/checkpoint/json_fields.h"
#include "runner/checkpoint/quantization.h"
#include "runner/checkpoint/weight_files.h"

namespace glm::runner {
namespace {

constexpr std::uint64_t kConfigMaxBytes = 64U << 20U;  // ignore lists of quantizers grow long

struct Parameters {
  std::uint64_t all = 0;
  std::uint64_t active = 0;
};

Parameters count_parameters(const ModelConfig& c) {
  const MlaDims& mla = c.mla;
  const GqaDims& gqa = c.gqa;
  const std::int64_t norms =
      2 * c.hidden_size + mla.q_rank + mla.kv_rank + (gqa.qk_norm ? 2 * gqa.head_dim : 0);
  const std::int64_t latent = c.hidden_size * mla.q_rank + mla.q_rank * c.heads * mla.qk_dim() +
                              c.hidden_size * mla.cache_dim() +
                              mla.kv_rank * c.heads * (mla.nope_dim + mla.v_dim) +
                              c.heads * mla.v_dim * c.hidden_size;
  const std::int64_t qkv_dim = (c.heads + 2 * gqa.kv_heads) * gqa.head_dim;
  const std::int64_t grouped =
      c.hidden_size * (qkv_dim + c.heads * gqa.head_dim) + (gqa.bias ? qkv_dim : 0);
  const std::int64_t attention = latent + grouped;  // one of them is zero
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
  facts.kv_bytes_per_token = static_cast<std::uint64_t>(config.layers * config.cache_dim() * 2);
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

// The few fields that every writer spells alike, of a model that cannot run.
Result<ModelFacts> outline(std::string_view config_json) {
  const JsonFields whole = GLM_TRY(JsonFields::parse(config_json, "config.json"));
  const std::optional<JsonFields> inner = GLM_TRY(whole.object("text_config"));
  const JsonFields& fields = inner && !whole.has("num_hidden_layers") ? *inner : whole;
  const auto number = [&fields](const char* name) {
    return fields.integer(name, {0, 1LL << 40}, 0).value_or(0);
  };
  ModelFacts facts;
  facts.architecture = GLM_TRY(architecture_of(config_json));
  facts.config.architecture = facts.architecture;
  facts.config.layers = number("num_hidden_layers");
  facts.config.hidden_size = number("hidden_size");
  facts.config.dtype = fields.text("torch_dtype", "").value_or("");
  facts.config.dtype = fields.text("dtype", facts.config.dtype).value_or("");
  facts.context_max = number("max_position_embeddings");
  return facts;
}

void refuse(ModelFacts& facts, Error error) {
  if (!facts.refusal) facts.refusal = std::move(error);
}

// Facts that carry a refusal become that error.
Result<ModelFacts> unless_refused(Result<ModelFacts> facts) {
  if (facts.ok() && facts->refusal) return *std::move(facts->refusal);
  return facts;
}

Result<ModelFacts> survey_texts(std::string_view config_json, std::string_view generation_json,
                                const CheckpointFiles& files) {
  ModelFacts facts;
  GenerationConfig generation;
  if (!generation_json.empty()) generation = GLM_TRY(parse_generation_config(generation_json));
  Result<ModelConfig> config = parse_model_config(config_json);
  if (config.ok()) {
    facts = facts_from(*std::move(config), std::move(generation));
  } else {
    if (config.error().code != Errc::unsupported) return std::move(config).error();
    facts = GLM_TRY(outline(config_json));
    refuse(facts, std::move(config).error());
  }
  Result<Quantization> quantization = find_quantization(config_json, files);
  if (quantization.ok()) {
    facts.quantization = *std::move(quantization);
  } else {
    if (quantization.error().code != Errc::unsupported) return std::move(quantization).error();
    refuse(facts, std::move(quantization).error());
  }
  const std::string& label = facts.quantization.label;
  facts.format_summary = label.empty() ? label_of_dtype(facts.config.dtype) : label;
  return facts;
}

Result<ModelFacts> with_checkpoint(ModelFacts facts, const Checkpoint& checkpoint) {
  StoredFormats stored =
      GLM_TRY(stored_formats(checkpoint, facts.quantization, facts.config.layers));
  facts.weight_bytes = checkpoint.size_bytes();
  facts.tensors = checkpoint.tensors().size();
  facts.notes = checkpoint.notes();
  facts.notes.insert(facts.notes.end(), stored.notes.begin(), stored.notes.end());
  facts.has_mtp = stored.has_mtp;
  if (!stored.summary.empty()) facts.format_summary = std::move(stored.summary);
  facts.formats = std::move(stored.groups);
  facts.unquantized = std::move(stored.unquantized);
  if (facts.parameters == 0) facts.parameters = stored.parameters;
  if (stored.refusal) refuse(facts, *std::move(stored.refusal));
  return facts;
}

// One that cannot be opened because of what it is, is a refusal as well.
Result<ModelFacts> with_opened(ModelFacts facts, Result<Checkpoint> opened) {
  if (opened.ok()) return with_checkpoint(std::move(facts), *opened);
  if (opened.error().code != Errc::unsupported) return std::move(opened).error();
  refuse(facts, std::move(opened).error());
  return facts;
}

}  // namespace

Result<ModelFacts> inspect_config(std::string_view config_json,
                                  std::string_view generation_config_json) {
  return unless_refused(survey_texts(config_json, generation_config_json, {}));
}

Result<ModelFacts> survey_small_files(const CheckpointFiles& files) {
  const std::string config = GLM_TRY(read_small_file(files, "config.json", kConfigMaxBytes));
  std::string generation;
  if (files.contains("generation_config.json")) {
    generation = GLM_TRY(read_small_file(files, "generation_config.json", kConfigMaxBytes));
  }
  return survey_texts(config, generation, files);
}

Result<ModelFacts> inspect_small_files(const CheckpointFiles& files) {
  return unless_refused(survey_small_files(files));
}

Result<ModelFacts> survey(const CheckpointFiles& files) {
  if (!files.contains("config.json")) {
    // Another container brings its own configuration.
    std::vector<std::string> names;
    for (const auto& [name, path] : files) names.push_back(name);
    Result<std::vector<std::string>> weights = weight_file_names(names, {});
    if (!weights.ok() && weights.error().code == Errc::unsupported) {
      ModelFacts facts;
      facts.refusal = std::move(weights).error();
      return facts;
    }
  }
  return with_opened(GLM_TRY(survey_small_files(files)), Checkpoint::open(files));
}

Result<ModelFacts> survey_headers(const CheckpointFiles& small_files,
                                  std::span<const ShardHeader> shards) {
  ModelFacts facts = GLM_TRY(survey_small_files(small_files));
  const SafetensorsIndex index = GLM_TRY(read_index(small_files));
  return with_opened(std::move(facts), Checkpoint::from_headers(index, shards));
}

Result<ModelFacts> inspect(const CheckpointFiles& files) {
  GLM_TRY(inspect_small_files(files));  // refuses before headers are read
  return unless_refused(survey(files));
}

Result<ModelFacts> inspect(std::string_view config_json, const Checkpoint& checkpoint) {
  ModelFacts facts = GLM_TRY(survey_texts(config_json, {}, {}));
  return unless_refused(with_checkpoint(std::move(facts), checkpoint));
}

Result<ModelFacts> inspect_headers(const CheckpointFiles& small_files,
                                   std::span<const ShardHeader> shards) {
  return unless_refused(survey_headers(small_files, shards));
}

}  // namespace glm::runner
