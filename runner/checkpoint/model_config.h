// config.json, read into plain numbers.
//
// Spelling variants of different writers are accepted here and nowhere else; a field of the wrong
// type, or of a size no model has, is an error that names the field. Whether the model can be run
// is decided afterwards (architectures.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace glm::runner {

// Multi-head latent attention. All zero for architectures without it.
struct MlaDims {
  std::int64_t q_rank = 0;    // q_lora_rank
  std::int64_t kv_rank = 0;   // kv_lora_rank: width of the cached latent
  std::int64_t nope_dim = 0;  // qk_nope_head_dim
  std::int64_t rope_dim = 0;  // qk_rope_head_dim
  std::int64_t v_dim = 0;     // v_head_dim

  std::int64_t qk_dim() const { return nope_dim + rope_dim; }
  std::int64_t cache_dim() const { return kv_rank + rope_dim; }  // values kept per token and layer
};

// Grouped-query attention. All zero for architectures without it.
struct GqaDims {
  std::int64_t kv_heads = 0;  // num_key_value_heads
  std::int64_t head_dim = 0;  // head_dim, else hidden_size / num_attention_heads
  std::int64_t rope_dim = 0;  // of a head, rotated: head_dim * partial_rotary_factor
  bool bias = false;          // attention_bias: of q, k and v, never of o
  bool qk_norm = false;       // use_qk_norm: of each head's query and key, before rotation

  std::int64_t cache_dim() const { return 2 * kv_heads * head_dim; }  // keys, then values
};

// Mixture of experts. All zero for dense architectures.
struct MoeDims {
  std::int64_t experts = 0;            // n_routed_experts
  std::int64_t experts_per_token = 0;  // num_experts_per_tok
  std::int64_t shared_experts = 0;     // n_shared_experts
  std::int64_t intermediate_size = 0;  // moe_intermediate_size, of one expert
  std::int64_t groups = 1;             // n_group
  std::int64_t groups_kept = 1;        // topk_group
  float routed_scale = 1.0F;           // routed_scaling_factor
  bool normalize_weights = true;       // norm_topk_prob
};

struct ModelConfig {
  std::string architecture;  // model_type: "glm4_moe_lite"
  std::string dtype;         // "bfloat16": what the writer says, not what the tensors are
  std::int64_t hidden_size = 0;
  std::int64_t layers = 0;        // main layers; the MTP layer is not among them
  std::int64_t dense_layers = 0;  // the first ones, before the mixture of experts begins
  std::int64_t mtp_layers = 0;    // what config.json says; the tensors decide
  std::int64_t intermediate_size = 0;
  std::int64_t vocab_size = 0;  // rows of the embedding, padding included
  std::int64_t heads = 0;
  std::int64_t context_max = 0;  // max_position_embeddings
  MlaDims mla;                   // one of the two is there
  GqaDims gqa;
  MoeDims moe;
  double rope_theta = 0;
  bool rope_interleaved = true;
  float rms_norm_eps = 0;
  bool tied_embeddings = false;
  std::vector<std::int32_t> eos_ids;

  // Values kept per token and layer, and how many elements of a head are rotated.
  std::int64_t cache_dim() const { return mla.cache_dim() + gqa.cache_dim(); }
  std::int64_t rope_dim() const { return mla.rope_dim + gqa.rope_dim; }
};

// "glm4_moe_lite": model_type, or what the first of `architectures` stands for.
// Errc::corrupt if the text is not a JSON object or names no architecture.
Result<std::string> architecture_of(std::string_view config_json);

// Reads every field that `architecture_of(config_json)` needs. Errc::unsupported for an
// architecture this program does not run, with what is missing; Errc::corrupt for a field that
// cannot be.
Result<ModelConfig> parse_model_config(std::string_view config_json);

}  // namespace glm::runner
