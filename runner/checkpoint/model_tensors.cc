#include "runner/checkpoint/model_tensors.h"

#include <fmt/format.h>

#include <utility>

namespace glm::runner {
namespace {

class Collector {
 public:
  explicit Collector(const ModelConfig& config) : config_(config) {}

  ModelTensors collect() {
    matrix("model.embed_tokens", config_.vocab_size, config_.hidden_size, MatrixRole::embedding);
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) add_layer(layer);
    vector("model.norm.weight", config_.hidden_size);
    if (!config_.tied_embeddings) matrix("lm_head", config_.vocab_size, config_.hidden_size);
    return std::move(tensors_);
  }

 private:
  using MatrixRole = ModelMatrix::Role;
  using VectorRole = ModelVector::Role;

  void matrix(std::string name, std::int64_t rows, std::int64_t cols,
              MatrixRole role = MatrixRole::linear) {
    tensors_.matrices.push_back(
        {.name = std::move(name), .rows = rows, .cols = cols, .role = role});
  }
  void vector(std::string name, std::int64_t size, VectorRole role = VectorRole::norm) {
    tensors_.vectors.push_back({.name = std::move(name), .size = size, .role = role});
  }

  void add_layer(std::int64_t layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    vector(prefix + "input_layernorm.weight", config_.hidden_size);
    vector(prefix + "post_attention_layernorm.weight", config_.hidden_size);
    if (config_.mla.kv_rank > 0) {
      add_latent_attention(prefix + "self_attn.");
    } else {
      add_grouped_attention(prefix + "self_attn.");
    }
    if (layer < config_.dense_layers) {
      add_mlp(prefix + "mlp.", config_.intermediate_size);
    } else {
      add_experts(prefix + "mlp.");
    }
  }

  void add_latent_attention(const std::string& prefix) {
    const MlaDims& mla = config_.mla;
    matrix(prefix + "q_a_proj", mla.q_rank, config_.hidden_size);
    vector(prefix + "q_a_layernorm.weight", mla.q_rank);
    matrix(prefix + "q_b_proj", config_.heads * mla.qk_dim(), mla.q_rank);
    matrix(prefix + "kv_a_proj_with_mqa", mla.cache_dim(), config_.hidden_size);
    vector(prefix + "kv_a_layernorm.weight", mla.kv_rank);
    matrix(prefix + "kv_b_proj", config_.heads * (mla.nope_dim + mla.v_dim), mla.kv_rank);
    matrix(prefix + "o_proj", config_.hidden_size, config_.heads * mla.v_dim);
  }

  void add_grouped_attention(const std::string& prefix) {
    const GqaDims& gqa = config_.gqa;
    const std::int64_t q = config_.heads * gqa.head_dim;
    const std::int64_t kv = gqa.kv_heads * gqa.head_dim;
    for (const auto& [name, rows] :
         {std::pair("q_proj", q), std::pair("k_proj", kv), std::pair("v_proj", kv)}) {
      matrix(prefix + name, rows, config_.hidden_size);
      if (gqa.bias) vector(prefix + name + ".bias", rows, VectorRole::bias);
    }
    matrix(prefix + "o_proj", config_.hidden_size, q);
    if (!gqa.qk_norm) return;
    vector(prefix + "q_norm.weight", gqa.head_dim);
    vector(prefix + "k_norm.weight", gqa.head_dim);
  }

  void add_mlp(const std::string& prefix, std::int64_t inner) {
    matrix(prefix + "gate_proj", inner, config_.hidden_size);
    matrix(prefix + "up_proj", inner, config_.hidden_size);
    matrix(prefix + "down_proj", config_.hidden_size, inner);
  }

  void add_experts(const std::string& prefix) {
    const MoeDims& moe = config_.moe;
    matrix(prefix + "gate", moe.experts, config_.hidden_size, MatrixRole::router);
    vector(prefix + "gate.e_score_correction_bias", moe.experts, VectorRole::router_bias);
    for (std::int64_t expert = 0; expert < moe.experts; ++expert) {
      add_mlp(fmt::format("{}experts.{}.", prefix, expert), moe.intermediate_size);
    }
    if (moe.shared_experts == 0) return;
    add_mlp(prefix + "shared_experts.", moe.shared_experts * moe.intermediate_size);
  }

  const ModelConfig& config_;
  ModelTensors tensors_;
};

}  // namespace

ModelTensors tensors_of(const ModelConfig& config) {
  return Collector(config).collect();
}

}  // namespace glm::runner
