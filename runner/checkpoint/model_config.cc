#include "runner/checkpoint/model_config.h"

#include <algorithm>

#include "runner/checkpoint/architectures.h"
#include "runner/checkpoint/json_fields.h"

namespace glm::runner {
namespace {

constexpr std::string_view kFile = "config.json";

// Wider than any model by an order of magnitude, narrow enough that no product overflows.
constexpr IntegerRange kWidth = {1, 1 << 18};
constexpr IntegerRange kHeads = {1, 1024};
constexpr IntegerRange kHeadDim = {1, 1024};
constexpr IntegerRange kLayers = {1, 1024};
constexpr IntegerRange kVocab = {1, 1 << 24};
constexpr IntegerRange kContext = {1, 1 << 26};
constexpr IntegerRange kExperts = {1, 4096};

Error not_yet(const JsonFields& fields, const std::string& name, std::string_view wanted) {
  const nlohmann::json* value = fields.find(name);
  return make_error(Errc::unsupported, "{}: {}: {} is not supported yet, only {}", fields.prefix(),
                    name, value == nullptr ? "null" : shown(*value), wanted);
}

Result<std::string> architecture(const JsonFields& fields) {
  if (fields.has("model_type")) return fields.text("model_type");
  const nlohmann::json* classes = fields.find("architectures");
  if (classes != nullptr && classes->is_array() && !classes->empty() && (*classes)[0].is_string()) {
    const auto class_name = (*classes)[0].get<std::string>();
    for (const Architecture& row : known_architectures()) {
      if (row.class_name == class_name) return std::string(row.model_type);
    }
    return class_name;
  }
  return make_error(Errc::corrupt, "{}: neither model_type nor architectures says what this is",
                    kFile);
}

// The object that describes rotary embedding beyond rope_theta, under either of its names.
Result<std::optional<JsonFields>> rope_object(const JsonFields& fields) {
  std::optional<JsonFields> parameters = GLM_TRY(fields.object("rope_parameters"));
  if (parameters) return parameters;
  return fields.object("rope_scaling");
}

// Inside that object or beside it: writers differ. The reference library believes the inside, and
// writes both.
const JsonFields& holder(const JsonFields& fields, const std::optional<JsonFields>& rope,
                         const std::string& name) {
  return rope && rope->has(name) ? *rope : fields;
}

// first_k_dense_replace, or how many entries of mlp_layer_types say "dense" before the first other.
// Without both, the reference library makes the first layer dense.
Result<std::int64_t> dense_layers(const JsonFields& fields, std::int64_t layers) {
  if (fields.has("first_k_dense_replace")) {
    return fields.integer("first_k_dense_replace", {0, layers});
  }
  constexpr std::string_view kWanted =
      "\"dense\" entries followed by \"sparse\" ones, one for each layer";
  const nlohmann::json* types = fields.find("mlp_layer_types");
  if (types == nullptr) return 1;
  if (!types->is_array() || static_cast<std::int64_t>(types->size()) < layers) {
    return fields.wrong("mlp_layer_types", kWanted);
  }
  std::int64_t dense = 0;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const nlohmann::json& type = (*types)[static_cast<std::size_t>(layer)];
    if (type == "dense" && dense == layer) {
      ++dense;
    } else if (type != "sparse") {
      return fields.wrong("mlp_layer_types", kWanted);
    }
  }
  return dense;
}

Status read_mla(const JsonFields& fields, ModelConfig& config) {
  MlaDims& mla = config.mla;
  mla.q_rank = GLM_TRY(fields.integer("q_lora_rank", kWidth));
  mla.kv_rank = GLM_TRY(fields.integer("kv_lora_rank", kWidth));
  mla.nope_dim = GLM_TRY(fields.integer("qk_nope_head_dim", kHeadDim));
  mla.rope_dim = GLM_TRY(fields.integer("qk_rope_head_dim", kHeadDim));
  mla.v_dim = GLM_TRY(fields.integer("v_head_dim", kHeadDim));
  if (mla.rope_dim % 2 != 0) return fields.wrong("qk_rope_head_dim", "an even number");
  if (GLM_TRY(fields.integer("qk_head_dim", {0, 2 * kHeadDim.max}, mla.qk_dim())) != mla.qk_dim()) {
    return fields.wrong("qk_head_dim", fmt::format("{}, the sum of qk_nope_head_dim and "
                                                   "qk_rope_head_dim",
                                                   mla.qk_dim()));
  }
  if (GLM_TRY(fields.boolean("attention_bias", false))) {
    return not_yet(fields, "attention_bias", "false");
  }
  return Ok{};
}

Status read_gqa(const JsonFields& fields, ModelConfig& config) {
  GqaDims& gqa = config.gqa;
  gqa.kv_heads = GLM_TRY(fields.integer("num_key_value_heads", {1, config.heads}, config.heads));
  if (config.heads % gqa.kv_heads != 0) {
    return fields.wrong("num_key_value_heads",
                        fmt::format("a divisor of {} attention heads", config.heads));
  }
  std::optional<std::int64_t> share = config.hidden_size / config.heads;
  if (config.hidden_size % config.heads != 0 || *share > kHeadDim.max) share.reset();
  gqa.head_dim = GLM_TRY(fields.integer("head_dim", kHeadDim, share));
  gqa.bias = GLM_TRY(fields.boolean("attention_bias", false));
  gqa.qk_norm = GLM_TRY(fields.boolean("use_qk_norm", false));
  return Ok{};
}

Status read_rope(const JsonFields& fields, const ConfigDialect& dialect, ModelConfig& config) {
  constexpr NumberRange kTheta = {1.0, 1e12};
  const std::optional<JsonFields> rope = GLM_TRY(rope_object(fields));
  if (rope) {
    for (const char* name : {"rope_type", "type"}) {
      if (GLM_TRY(rope->text(name, "default")) != "default") {
        return not_yet(*rope, name, "\"default\"");
      }
    }
  }
  config.rope_theta = GLM_TRY(holder(fields, rope, "rope_theta").number("rope_theta", kTheta));
  config.rope_interleaved = GLM_TRY(fields.boolean("rope_interleave", dialect.rope_interleave));

  const std::string part = "partial_rotary_factor";
  const JsonFields& where = holder(fields, rope, part);
  const double factor = GLM_TRY(where.number(part, {0, 1}, dialect.partial_rotary_factor));
  if (config.gqa.head_dim == 0) return factor == 1.0 ? Status(Ok{}) : not_yet(where, part, "1");
  config.gqa.rope_dim =
      static_cast<std::int64_t>(static_cast<double>(config.gqa.head_dim) * factor);
  if (config.gqa.rope_dim < 2 || config.gqa.rope_dim % 2 != 0) {
    return make_error(Errc::corrupt,
                      "{}: {}: {} of a head of {} elements are {}, wanted an even number from 2",
                      where.prefix(), part, factor, config.gqa.head_dim, config.gqa.rope_dim);
  }
  return Ok{};
}

Status read_moe(const JsonFields& fields, const ConfigDialect& dialect, MoeDims& moe) {
  const std::string experts_name =
      fields.has("n_routed_experts") ? "n_routed_experts" : "num_local_experts";
  moe.experts = GLM_TRY(fields.integer(experts_name, kExperts));
  moe.experts_per_token =
      GLM_TRY(fields.integer("num_experts_per_tok", {1, std::min<std::int64_t>(moe.experts, 256)}));
  moe.shared_experts = GLM_TRY(fields.integer("n_shared_experts", {0, 64}, 1));
  moe.intermediate_size = GLM_TRY(fields.integer("moe_intermediate_size", kWidth));
  moe.groups = GLM_TRY(fields.integer("n_group", {1, moe.experts}, 1));
  moe.groups_kept = GLM_TRY(fields.integer("topk_group", {1, moe.groups}, 1));
  if (moe.experts % moe.groups != 0) {
    return fields.wrong("n_group", fmt::format("a divisor of {} experts", moe.experts));
  }
  if (moe.experts_per_token > moe.groups_kept * (moe.experts / moe.groups)) {
    return fields.wrong(
        "topk_group", fmt::format("enough groups for {} experts per token", moe.experts_per_token));
  }
  moe.normalize_weights = GLM_TRY(fields.boolean("norm_topk_prob", true));
  moe.routed_scale = static_cast<float>(
      GLM_TRY(fields.number("routed_scaling_factor", {1e-6, 1e6}, dialect.routed_scaling_factor)));
  if (GLM_TRY(fields.text("scoring_func", "sigmoid")) != "sigmoid") {
    return not_yet(fields, "scoring_func", "\"sigmoid\"");
  }
  if (GLM_TRY(fields.text("topk_method", "noaux_tc")) != "noaux_tc") {
    return not_yet(fields, "topk_method", "\"noaux_tc\"");
  }
  if (GLM_TRY(fields.integer("moe_layer_freq", {0, 1 << 20}, 1)) != 1) {
    return not_yet(fields, "moe_layer_freq", "1");
  }
  return Ok{};
}

}  // namespace

Result<std::string> architecture_of(std::string_view config_json) {
  return architecture(GLM_TRY(JsonFields::parse(config_json, std::string(kFile))));
}

Result<ModelConfig> parse_model_config(std::string_view config_json) {
  const JsonFields fields = GLM_TRY(JsonFields::parse(config_json, std::string(kFile)));
  ModelConfig config;
  config.architecture = GLM_TRY(architecture(fields));
  const ConfigDialect& dialect = GLM_TRY(require_architecture(config.architecture))->dialect;

  config.dtype = GLM_TRY(fields.text("torch_dtype", "bfloat16"));
  config.dtype = GLM_TRY(fields.text("dtype", config.dtype));
  config.hidden_size = GLM_TRY(fields.integer("hidden_size", kWidth));
  config.layers = GLM_TRY(fields.integer("num_hidden_layers", kLayers));
  const std::string mtp_name =
      fields.has("num_nextn_predict_layers") ? "num_nextn_predict_layers" : "num_mtp_layers";
  config.mtp_layers = GLM_TRY(fields.integer(mtp_name, {0, 64}, 0));
  config.dense_layers = GLM_TRY(dense_layers(fields, config.layers));
  config.intermediate_size = GLM_TRY(fields.integer("intermediate_size", kWidth));
  config.vocab_size = GLM_TRY(fields.integer("vocab_size", kVocab));
  config.heads = GLM_TRY(fields.integer("num_attention_heads", kHeads));
  config.context_max = GLM_TRY(fields.integer("max_position_embeddings", kContext));
  config.rms_norm_eps = static_cast<float>(GLM_TRY(fields.number("rms_norm_eps", {0, 1}, 1e-5)));
  config.tied_embeddings = GLM_TRY(fields.boolean("tie_word_embeddings", false));
  config.eos_ids = GLM_TRY(token_ids(fields, "eos_token_id"));
  const bool latent = dialect.attention == AttentionKind::latent;
  GLM_TRY(latent ? read_mla(fields, config) : read_gqa(fields, config));
  if (config.dense_layers < config.layers) GLM_TRY(read_moe(fields, dialect, config.moe));
  GLM_TRY(read_rope(fields, dialect, config));

  if (GLM_TRY(fields.text("hidden_act", "silu")) != "silu") {
    return not_yet(fields, "hidden_act", "\"silu\"");
  }
  return config;
}

}  // namespace glm::runner
