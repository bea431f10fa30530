// glm4_moe_lite: GLM-4.7-Flash.
//
// The attention is DeepSeek-V3's multi-head latent attention (mla_block.h), the feed-forward part
// is GLM's mixture of experts (mlp_block.h); it is not a small glm4_moe, whose attention is
// unrelated. What is peculiar about it:
//
//   - Routing scores are sigmoids, whatever the config leaves out; a softmax gives a model that
//     speaks and loops. The selection bias chooses experts, weights come from the unbiased scores.
//   - routed_scaling_factor multiplies the routed part only; the shared expert has weight one.
//   - The attention scale is (nope + rope)^-1/2 in both forms, never (kv_rank + rope)^-1/2.
//   - Rotary pairs are adjacent (2k, 2k+1), on the 64-wide rope part alone. Only the first kv_rank
//     columns of kv_a are normed; the shared rope key is not.
//   - q_a_layernorm and kv_a_layernorm use rms_norm_eps as every engine does, while transformers
//     builds them with 1e-6: ModelFacts::latent_norm_eps decides.
//   - head_dim in the config is the rope width here; it is never the width of a head.
//   - Checkpoints may pack kv_b_proj as well; absorption needs its numbers, so it is decoded at
//   load.
//   - Layer `layers` (47) is the multi-token prediction layer: recognised, not loaded yet.
//
// Tensors (h hidden, H heads, E experts, I moe_intermediate; L all layers, D dense ones, M the
// others)
//
//   model.embed_tokens.weight, lm_head.weight                      [vocab, h]
//   model.norm.weight                                              [h]
//   L  input_layernorm.weight, post_attention_layernorm.weight     [h]
//   L  self_attn.q_a_proj                [q_rank, h]        .q_a_layernorm.weight   [q_rank]
//   L  self_attn.q_b_proj                [H*(nope+rope), q_rank]
//   L  self_attn.kv_a_proj_with_mqa      [kv_rank+rope, h]  .kv_a_layernorm.weight  [kv_rank]
//   L  self_attn.kv_b_proj               [H*(nope+v), kv_rank]
//   L  self_attn.o_proj                  [h, H*v]
//   D  mlp.{gate,up}_proj                [intermediate, h]  mlp.down_proj  [h, intermediate]
//   M  mlp.gate                          [E, h]             .e_score_correction_bias  [E], f32
//   M  mlp.experts.<e>.{gate,up}_proj    [I, h]             .down_proj     [h, I]
//   M  mlp.shared_experts.{gate,up}_proj [S*I, h]           .down_proj     [h, S*I]
//
// One step (x is the residual stream, "+=" happens inside the next norm):
//
//   x = embed(token)
//   each layer:  x += Mla(norm(x));  x += (dense ? Mlp : Moe)(norm(x))
//   logits = lm_head . norm(x)
#include "runner/models/glm4_moe_lite.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "runner/models/device_weight.h"
#include "runner/models/mla_block.h"
#include "runner/models/mlp_block.h"

namespace glm::runner {
namespace {

using kernels::ConstTensorView;
using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;

// A prompt is worked off in pieces of so many tokens; activations are sized for one piece.
constexpr std::int64_t kPieceTokens = 512;

struct Layer {
  DeviceArray input_norm;
  DeviceArray post_attention_norm;
  MlaBlock attention;
  MlpBlock dense;  // in the first layers
  MoeBlock moe;    // in the others
};

// Latent and rotated key of every token and layer: [layers, tokens_max, kv_rank + rope].
class LatentCache final : public KvCache {
 public:
  LatentCache(const Model* owner, DeviceArray memory, std::int64_t tokens_max)
      : owner_(owner), memory_(std::move(memory)), tokens_max_(tokens_max) {}

  std::int64_t length() const override { return length_; }
  std::int64_t tokens_max() const override { return tokens_max_; }
  std::uint64_t size_bytes() const override { return memory_.size_bytes(); }
  void truncate(std::int64_t length) override {
    GLM_CHECK(length >= 0 && length <= length_);
    length_ = length;
  }

 private:
  friend class Glm4MoeLite;
  const Model* owner_;
  DeviceArray memory_;
  std::int64_t tokens_max_;
  std::int64_t length_ = 0;
};

class Glm4MoeLite final : public Model {
 public:
  Glm4MoeLite(ModelFacts facts, std::unique_ptr<Ops> ops, MlaForm form)
      : facts_(std::move(facts)), ops_(std::move(ops)), form_(form) {}

  Status load(WeightLoader& loader);
  void note(std::string text) { facts_.notes.push_back(std::move(text)); }

  const ModelFacts& facts() const override { return facts_; }
  std::uint64_t weight_bytes() const override;
  Result<std::unique_ptr<KvCache>> make_cache(std::int64_t tokens_max) const override;
  Status forward(std::span<const std::int32_t> tokens, KvCache& cache,
                 std::span<float> logits) override;

 private:
  const ModelConfig& config() const { return facts_.config; }
  Status load_ends(WeightLoader& loader);
  Result<Layer> load_layer(WeightLoader& loader, std::int64_t index);
  Status allocate_activations();
  Status check_request(std::span<const std::int32_t> tokens, const LatentCache& cache,
                       std::span<const float> logits) const;
  void run_piece(std::span<const std::int32_t> tokens, const LatentCache& cache);
  void run_head(std::int64_t row);

  ModelFacts facts_;
  std::unique_ptr<Ops> ops_;
  MlaForm form_;

  DeviceWeight embedding_;
  DeviceWeight head_;  // empty where the embeddings are tied
  DeviceArray final_norm_;
  DeviceArray inv_freq_;
  std::vector<Layer> layers_;

  DeviceArray ids_;
  DeviceArray positions_;
  DeviceArray x_;  // the residual stream
  DeviceArray normed_;
  DeviceArray delta_;  // what the last block adds to it
  DeviceArray logits_;
  MlaScratch mla_scratch_;
  MlpScratch mlp_scratch_;
};

Status Glm4MoeLite::load(WeightLoader& loader) {
  GLM_TRY(load_ends(loader));
  layers_.reserve(static_cast<std::size_t>(config().layers));
  for (std::int64_t index = 0; index < config().layers; ++index) {
    layers_.push_back(GLM_TRY(load_layer(loader, index)));
  }
  return allocate_activations();
}

Status Glm4MoeLite::load_ends(WeightLoader& loader) {
  const std::int64_t hidden = config().hidden_size;
  const WeightShape table{config().vocab_size, hidden};
  embedding_ = GLM_TRY(load_weight(loader, *ops_, "model.embed_tokens", table));
  if (!config().tied_embeddings) head_ = GLM_TRY(load_weight(loader, *ops_, "lm_head", table));
  final_norm_ = GLM_TRY(load_vector(loader, *ops_, "model.norm.weight", hidden));

  // Each step rounded to f32, as the reference library does it.
  const std::int64_t half = config().mla.rope_dim / 2;
  std::vector<float> inv_freq;
  for (std::int64_t k = 0; k < half; ++k) {
    const double exponent = static_cast<double>(k) / static_cast<double>(half);
    inv_freq.push_back(1.0F / static_cast<float>(std::pow(config().rope_theta, exponent)));
  }
  inv_freq_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::f32, half));
  ops_->upload(inv_freq_.view({half}).data, std::as_bytes(std::span<const float>(inv_freq)));
  return ops_->sync();
}

Result<Layer> Glm4MoeLite::load_layer(WeightLoader& loader, std::int64_t index) {
  const std::int64_t hidden = config().hidden_size;
  const std::string prefix = fmt::format("model.layers.{}", index);
  Layer layer;
  layer.input_norm =
      GLM_TRY(load_vector(loader, *ops_, prefix + ".input_layernorm.weight", hidden));
  layer.post_attention_norm =
      GLM_TRY(load_vector(loader, *ops_, prefix + ".post_attention_layernorm.weight", hidden));
  layer.attention = GLM_TRY(
      MlaBlock::load(loader, *ops_, prefix + ".self_attn", config(), facts_.latent_norm_eps));
  if (index < config().dense_layers) {
    layer.dense = GLM_TRY(
        MlpBlock::load(loader, *ops_, prefix + ".mlp", config(), config().intermediate_size));
  } else {
    layer.moe = GLM_TRY(MoeBlock::load(loader, *ops_, prefix + ".mlp", config()));
  }
  return layer;
}

Status Glm4MoeLite::allocate_activations() {
  const Dtype dtype = ops_->activation_dtype();
  const std::int64_t stream = kPieceTokens * config().hidden_size;
  ids_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::i32, kPieceTokens));
  positions_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::i32, kPieceTokens));
  x_ = GLM_TRY(DeviceArray::allocate(*ops_, dtype, stream));
  normed_ = GLM_TRY(DeviceArray::allocate(*ops_, dtype, stream));
  delta_ = GLM_TRY(DeviceArray::allocate(*ops_, dtype, stream));
  logits_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::f32, config().vocab_size));
  mla_scratch_ = GLM_TRY(MlaScratch::allocate(*ops_, config(), kPieceTokens));
  mlp_scratch_ = GLM_TRY(MlpScratch::allocate(*ops_, config(), kPieceTokens));
  return Ok{};
}

std::uint64_t Glm4MoeLite::weight_bytes() const {
  std::uint64_t sum = embedding_.size_bytes() + head_.size_bytes() + final_norm_.size_bytes();
  for (const Layer& layer : layers_) {
    sum += layer.input_norm.size_bytes() + layer.post_attention_norm.size_bytes() +
           layer.attention.size_bytes() + layer.dense.size_bytes() + layer.moe.size_bytes();
  }
  return sum;
}

Result<std::unique_ptr<KvCache>> Glm4MoeLite::make_cache(std::int64_t tokens_max) const {
  if (tokens_max < 1 || tokens_max > facts_.context_max) {
    return make_error(Errc::invalid_argument,
                      "a cache of {} tokens: the model's context is 1 to {} tokens", tokens_max,
                      facts_.context_max);
  }
  DeviceArray memory =
      GLM_TRY(DeviceArray::allocate(*ops_, ops_->activation_dtype(),
                                    config().layers * tokens_max * config().mla.cache_dim())
                  .with(fmt::format("a cache of {} tokens", tokens_max)));
  return std::unique_ptr<KvCache>(
      std::make_unique<LatentCache>(this, std::move(memory), tokens_max));
}

Status Glm4MoeLite::check_request(std::span<const std::int32_t> tokens, const LatentCache& cache,
                                  std::span<const float> logits) const {
  if (tokens.empty()) return make_error(Errc::invalid_argument, "no tokens to run");
  for (const std::int32_t token : tokens) {
    if (token >= 0 && token < facts_.vocab_size) continue;
    return make_error(Errc::invalid_argument, "token {} is outside the vocabulary of {}", token,
                      facts_.vocab_size);
  }
  if (!logits.empty() && static_cast<std::int64_t>(logits.size()) != facts_.vocab_size) {
    return make_error(Errc::invalid_argument, "room for {} logits, wanted {}", logits.size(),
                      facts_.vocab_size);
  }
  const auto count = static_cast<std::int64_t>(tokens.size());
  if (count > cache.tokens_max_ - cache.length_) {
    return make_error(Errc::exhausted, "{} tokens do not fit: the cache holds {} of {}", count,
                      cache.length_, cache.tokens_max_);
  }
  return Ok{};
}

Status Glm4MoeLite::forward(std::span<const std::int32_t> tokens, KvCache& cache,
                            std::span<float> logits) {
  auto* own = dynamic_cast<LatentCache*>(&cache);
  GLM_CHECK(own != nullptr && own->owner_ == this);
  GLM_TRY(check_request(tokens, *own, logits));
  while (!tokens.empty()) {
    const std::size_t count = std::min(tokens.size(), static_cast<std::size_t>(kPieceTokens));
    run_piece(tokens.first(count), *own);
    tokens = tokens.subspan(count);
    if (tokens.empty() && !logits.empty()) run_head(static_cast<std::int64_t>(count) - 1);
    GLM_TRY(ops_->sync());
    own->length_ += static_cast<std::int64_t>(count);
  }
  if (!logits.empty()) {
    ops_->download(std::as_writable_bytes(logits), logits_.view({facts_.vocab_size}).data);
  }
  return ops_->sync();
}

// Leaves the residual stream in x_ and the last block's contribution, not yet added, in delta_.
void Glm4MoeLite::run_piece(std::span<const std::int32_t> tokens, const LatentCache& cache) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = config().hidden_size;
  std::vector<std::int32_t> places(tokens.size());
  std::iota(places.begin(), places.end(), static_cast<std::int32_t>(cache.length_));
  const TensorView ids = ids_.view({count});
  const TensorView positions = positions_.view({count});
  ops_->upload(ids.data, std::as_bytes(tokens));
  ops_->upload(positions.data, std::as_bytes(std::span<const std::int32_t>(places)));

  const TensorView x = x_.view({count, hidden});
  const TensorView normed = normed_.view({count, hidden});
  const TensorView delta = delta_.view({count, hidden});
  const TensorView memory =
      cache.memory_.view({config().layers, cache.tokens_max_, config().mla.cache_dim()});
  const auto norm = [&](const DeviceArray& weight) {
    ops_->rms_norm({.out = normed,
                    .x = delta,
                    .weight = weight.view({hidden}),
                    .residual = x,
                    .eps = config().rms_norm_eps});
  };
  ops_->embedding({.out = x, .ids = ids, .table = embedding_.view()});
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const Layer& layer = layers_[index];
    if (index == 0) {
      ops_->rms_norm({.out = normed,
                      .x = x,
                      .weight = layer.input_norm.view({hidden}),
                      .eps = config().rms_norm_eps});
    } else {
      norm(layer.input_norm);
    }
    TensorView rows = memory.slice(0, static_cast<std::int64_t>(index), 1);
    rows.rank = 2;
    rows.shape = {cache.length_ + count, config().mla.cache_dim()};
    rows.strides = {memory.stride(1), 1};
    layer.attention.forward(*ops_, mla_scratch_,
                            {.x = normed,
                             .out = delta,
                             .cache = rows,
                             .token_positions = positions,
                             .inv_freq = inv_freq_.view({config().mla.rope_dim / 2}),
                             .form = form_});
    norm(layer.post_attention_norm);
    const MlpStep step{.x = normed, .out = delta};
    if (static_cast<std::int64_t>(index) < config().dense_layers) {
      layer.dense.forward(*ops_, mlp_scratch_, step);
    } else {
      layer.moe.forward(*ops_, mlp_scratch_, step);
    }
  }
}

// Logits of one row of the piece that just ran.
void Glm4MoeLite::run_head(std::int64_t row) {
  const std::int64_t hidden = config().hidden_size;
  const TensorView normed = normed_.view({1, hidden});
  ops_->rms_norm({.out = normed,
                  .x = delta_.view({row + 1, hidden}).slice(0, row, 1),
                  .weight = final_norm_.view({hidden}),
                  .residual = x_.view({row + 1, hidden}).slice(0, row, 1),
                  .eps = config().rms_norm_eps});
  ops_->linear({.out = logits_.view({1, config().vocab_size}),
                .x = normed,
                .weight = config().tied_embeddings ? embedding_.view() : head_.view()});
}

}  // namespace

Result<std::unique_ptr<Model>> load_glm4_moe_lite(const Checkpoint& checkpoint, ModelFacts facts,
                                                  std::unique_ptr<Ops> ops,
                                                  const LoadOptions& options) {
  if (options.latent_norm_eps) facts.latent_norm_eps = *options.latent_norm_eps;
  WeightLoader::Progress progress;
  if (options.progress) {
    progress = [&](std::uint64_t completed, std::uint64_t total) {
      options.progress({.completed_bytes = completed, .total_bytes = total});
    };
  }
  const Quantization quantization = facts.quantization;
  WeightLoader loader(checkpoint, quantization, std::move(progress), options.stop);
  const ModelConfig& config = facts.config;
  const std::int64_t mtp_layers = std::max<std::int64_t>(config.mtp_layers, 1);
  for (std::int64_t layer = config.layers; layer < config.layers + mtp_layers; ++layer) {
    loader.skip(fmt::format("model.layers.{}.", layer));
  }
  auto model = std::make_unique<Glm4MoeLite>(std::move(facts), std::move(ops), options.mla_form);
  GLM_TRY(model->load(loader));
  for (std::string& note : loader.notes()) model->note(std::move(note));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace glm::runner
