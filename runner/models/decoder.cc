#include "runner/models/decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "runner/models/device_weight.h"
#include "runner/models/mlp_block.h"

namespace glm::runner {
namespace {

using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;

// A prompt is worked off in pieces of so many tokens; activations are sized for one piece.
constexpr std::int64_t kPieceTokens = 512;

struct Layer {
  DeviceArray input_norm;
  DeviceArray post_attention_norm;
  MlpBlock dense;  // in the first layers
  MoeBlock moe;    // in the others
};

// What every layer keeps of the tokens of one sequence: [layers, tokens_max, cache_dim].
class SequenceCache final : public KvCache {
 public:
  SequenceCache(const Model* owner, DeviceArray memory, TensorView view)
      : owner_(owner), memory_(std::move(memory)), view_(view) {}

  std::int64_t length() const override { return length_; }
  std::int64_t tokens_max() const override { return view_.size(1); }
  std::uint64_t size_bytes() const override { return memory_.size_bytes(); }
  void truncate(std::int64_t length) override {
    GLM_CHECK(length >= 0 && length <= length_);
    length_ = length;
  }

  bool belongs_to(const Model* model) const { return owner_ == model; }
  void grow(std::int64_t tokens) { length_ += tokens; }

  // Tokens [first, first + count) of one layer.
  TensorView rows(std::size_t layer, std::int64_t first, std::int64_t count) const {
    TensorView rows = view_.slice(0, static_cast<std::int64_t>(layer), 1).slice(1, first, count);
    rows.rank = 2;
    rows.shape = {count, view_.size(2)};
    rows.strides = {view_.stride(1), view_.stride(2)};
    return rows;
  }

 private:
  const Model* owner_;
  DeviceArray memory_;
  TensorView view_;
  std::int64_t length_ = 0;
};

class Decoder final : public Model {
 public:
  Decoder(ModelFacts facts, std::unique_ptr<Ops> ops, std::unique_ptr<Attention> attention)
      : facts_(std::move(facts)), ops_(std::move(ops)), attention_(std::move(attention)) {}

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
  Status check_request(std::span<const std::int32_t> tokens, const SequenceCache& cache,
                       std::span<const float> logits) const;
  void run_piece(std::span<const std::int32_t> tokens, const SequenceCache& cache);
  void run_head(std::int64_t row);

  ModelFacts facts_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Attention> attention_;

  DeviceWeight embedding_;
  DeviceWeight head_;  // empty where the embeddings serve
  bool head_is_embedding_ = false;
  DeviceArray final_norm_;
  DeviceArray inv_freq_;
  std::vector<Layer> layers_;

  DeviceArray ids_;
  DeviceArray positions_;
  DeviceArray x_;  // the residual stream
  DeviceArray normed_;
  DeviceArray delta_;  // what the last block adds to it
  DeviceArray logits_;
  MlpScratch mlp_scratch_;
};

Status Decoder::load(WeightLoader& loader) {
  GLM_TRY(load_ends(loader));
  layers_.reserve(static_cast<std::size_t>(config().layers));
  for (std::int64_t index = 0; index < config().layers; ++index) {
    layers_.push_back(GLM_TRY(load_layer(loader, index)));
  }
  return allocate_activations();
}

Status Decoder::load_ends(WeightLoader& loader) {
  const std::int64_t hidden = config().hidden_size;
  const WeightShape table{config().vocab_size, hidden};
  embedding_ = GLM_TRY(load_weight(loader, *ops_, "model.embed_tokens", table));
  head_is_embedding_ = config().tied_embeddings ||
                       GLM_TRY(loader.same_bytes("lm_head.weight", "model.embed_tokens.weight"));
  if (!head_is_embedding_) {
    head_ = GLM_TRY(load_weight(loader, *ops_, "lm_head", table));
  } else {
    loader.skip("lm_head.");
  }
  final_norm_ = GLM_TRY(load_vector(loader, *ops_, "model.norm.weight", hidden));

  // Each step rounded to f32, as the reference library does it.
  const std::int64_t half = config().rope_dim() / 2;
  std::vector<float> inv_freq;
  for (std::int64_t k = 0; k < half; ++k) {
    const double exponent = static_cast<double>(k) / static_cast<double>(half);
    inv_freq.push_back(1.0F / static_cast<float>(std::pow(config().rope_theta, exponent)));
  }
  inv_freq_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::f32, half));
  ops_->upload(inv_freq_.view({half}).data, std::as_bytes(std::span<const float>(inv_freq)));
  return ops_->sync();
}

Result<Layer> Decoder::load_layer(WeightLoader& loader, std::int64_t index) {
  const std::int64_t hidden = config().hidden_size;
  const std::string prefix = fmt::format("model.layers.{}", index);
  Layer layer;
  layer.input_norm =
      GLM_TRY(load_vector(loader, *ops_, prefix + ".input_layernorm.weight", hidden));
  layer.post_attention_norm =
      GLM_TRY(load_vector(loader, *ops_, prefix + ".post_attention_layernorm.weight", hidden));
  GLM_TRY(attention_->load_layer(loader, *ops_, prefix + ".self_attn", config()));
  if (index < config().dense_layers) {
    layer.dense = GLM_TRY(
        MlpBlock::load(loader, *ops_, prefix + ".mlp", config(), config().intermediate_size));
  } else {
    layer.moe = GLM_TRY(MoeBlock::load(loader, *ops_, prefix + ".mlp", config()));
  }
  return layer;
}

Status Decoder::allocate_activations() {
  const Dtype dtype = ops_->activation_dtype();
  const std::int64_t stream = kPieceTokens * config().hidden_size;
  ids_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::i32, kPieceTokens));
  positions_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::i32, kPieceTokens));
  x_ = GLM_TRY(DeviceArray::allocate(*ops_, dtype, stream));
  normed_ = GLM_TRY(DeviceArray::allocate(*ops_, dtype, stream));
  delta_ = GLM_TRY(DeviceArray::allocate(*ops_, dtype, stream));
  logits_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::f32, config().vocab_size));
  mlp_scratch_ = GLM_TRY(MlpScratch::allocate(*ops_, config(), kPieceTokens));
  return attention_->allocate_activations(*ops_, config(), kPieceTokens);
}

std::uint64_t Decoder::weight_bytes() const {
  std::uint64_t sum = embedding_.size_bytes() + head_.size_bytes() + final_norm_.size_bytes() +
                      attention_->size_bytes();
  for (const Layer& layer : layers_) {
    sum += layer.input_norm.size_bytes() + layer.post_attention_norm.size_bytes() +
           layer.dense.size_bytes() + layer.moe.size_bytes();
  }
  return sum;
}

Result<std::unique_ptr<KvCache>> Decoder::make_cache(std::int64_t tokens_max) const {
  if (tokens_max < 1 || tokens_max > facts_.context_max) {
    return make_error(Errc::invalid_argument,
                      "a cache of {} tokens: the model's context is 1 to {} tokens", tokens_max,
                      facts_.context_max);
  }
  DeviceArray memory =
      GLM_TRY(DeviceArray::allocate(*ops_, ops_->activation_dtype(),
                                    config().layers * tokens_max * config().cache_dim())
                  .with(fmt::format("a cache of {} tokens", tokens_max)));
  const TensorView view = memory.view({config().layers, tokens_max, config().cache_dim()});
  return std::unique_ptr<KvCache>(std::make_unique<SequenceCache>(this, std::move(memory), view));
}

Status Decoder::check_request(std::span<const std::int32_t> tokens, const SequenceCache& cache,
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
  if (count > cache.tokens_max() - cache.length()) {
    return make_error(Errc::exhausted, "{} tokens do not fit: the cache holds {} of {}", count,
                      cache.length(), cache.tokens_max());
  }
  return Ok{};
}

Status Decoder::forward(std::span<const std::int32_t> tokens, KvCache& cache,
                        std::span<float> logits) {
  auto* own = dynamic_cast<SequenceCache*>(&cache);
  GLM_CHECK(own != nullptr && own->belongs_to(this));
  GLM_TRY(check_request(tokens, *own, logits));
  while (!tokens.empty()) {
    const std::size_t count = std::min(tokens.size(), static_cast<std::size_t>(kPieceTokens));
    run_piece(tokens.first(count), *own);
    tokens = tokens.subspan(count);
    if (tokens.empty() && !logits.empty()) run_head(static_cast<std::int64_t>(count) - 1);
    GLM_TRY(ops_->sync());
    own->grow(static_cast<std::int64_t>(count));
  }
  if (!logits.empty()) {
    ops_->download(std::as_writable_bytes(logits), logits_.view({facts_.vocab_size}).data);
  }
  return ops_->sync();
}

// Leaves the residual stream in x_ and the last block's contribution, not yet added, in delta_.
void Decoder::run_piece(std::span<const std::int32_t> tokens, const SequenceCache& cache) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  const std::int64_t hidden = config().hidden_size;
  std::vector<std::int32_t> places(tokens.size());
  std::iota(places.begin(), places.end(), static_cast<std::int32_t>(cache.length()));
  const TensorView ids = ids_.view({count});
  const TensorView positions = positions_.view({count});
  ops_->upload(ids.data, std::as_bytes(tokens));
  ops_->upload(positions.data, std::as_bytes(std::span<const std::int32_t>(places)));

  const TensorView x = x_.view({count, hidden});
  const TensorView normed = normed_.view({count, hidden});
  const TensorView delta = delta_.view({count, hidden});
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
    attention_->forward(*ops_, index,
                        {.x = normed,
                         .out = delta,
                         .positions = positions,
                         .inv_freq = inv_freq_.view({config().rope_dim() / 2}),
                         .new_rows = cache.rows(index, cache.length(), count),
                         .rows = cache.rows(index, 0, cache.length() + count)});
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
void Decoder::run_head(std::int64_t row) {
  const std::int64_t hidden = config().hidden_size;
  const TensorView normed = normed_.view({1, hidden});
  ops_->rms_norm({.out = normed,
                  .x = delta_.view({row + 1, hidden}).slice(0, row, 1),
                  .weight = final_norm_.view({hidden}),
                  .residual = x_.view({row + 1, hidden}).slice(0, row, 1),
                  .eps = config().rms_norm_eps});
  ops_->linear({.out = logits_.view({1, config().vocab_size}),
                .x = normed,
                .weight = head_is_embedding_ ? embedding_.view() : head_.view()});
}

}  // namespace

Result<std::unique_ptr<Model>> load_decoder(const Checkpoint& checkpoint, ModelFacts facts,
                                            std::unique_ptr<Ops> ops,
                                            std::unique_ptr<Attention> attention,
                                            const LoadOptions& options) {
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
  auto model = std::make_unique<Decoder>(std::move(facts), std::move(ops), std::move(attention));
  GLM_TRY(model->load(loader));
  for (std::string& note : loader.notes()) model->note(std::move(note));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace glm::runner
