#include "runner/models/decoder.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "base/check.h"
#include "runner/models/decode_graphs.h"
#include "runner/models/device_weight.h"
#include "runner/models/mlp_block.h"
#include "runner/models/step_inputs.h"

namespace glm::runner {
namespace {

using kernels::ConstTensorView;
using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;
using kernels::WeightFormat;

constexpr BatchLimits kBatch = kBatchLimits;

struct Layer {
  DeviceArray input_norm;
  DeviceArray post_attention_norm;
  MlpBlock dense;  // in the first layers
  MoeBlock moe;    // in the others
};

// What every layer keeps of the tokens of all sequences: [layers, pages, kPageTokens, cache_dim].
class DecoderPool final : public KvPool {
 public:
  DecoderPool(const Model* owner, std::int64_t number, DeviceArray memory, TensorView view)
      : KvPool(view.size(1)),
        owner_(owner),
        number_(number),
        memory_(std::move(memory)),
        view_(view) {}

  std::int64_t number() const { return number_; }  // no two pools of a model have the same

  bool belongs_to(const Model* model) const { return owner_ == model; }

  // The pages of one layer.
  TensorView layer(std::size_t index) const {
    TensorView pages = view_.slice(0, static_cast<std::int64_t>(index), 1);
    pages.rank = 3;
    pages.shape = {view_.size(1), view_.size(2), view_.size(3)};
    pages.strides = {view_.stride(1), view_.stride(2), view_.stride(3)};
    return pages;
  }

 private:
  const Model* owner_;
  std::int64_t number_;
  DeviceArray memory_;
  TensorView view_;
};

class Decoder final : public Model {
 public:
  Decoder(ModelFacts facts, std::unique_ptr<Ops> ops, std::unique_ptr<Attention> attention)
      : facts_(std::move(facts)), ops_(std::move(ops)), attention_(std::move(attention)) {}

  Status load(WeightLoader& loader);
  void note(std::string text) { facts_.notes.push_back(std::move(text)); }

  const ModelFacts& facts() const override { return facts_; }
  std::uint64_t weight_bytes() const override;
  BatchLimits batch_limits() const override { return kBatch; }
  std::uint64_t page_bytes() const override;
  std::uint64_t memory_free_bytes() const override { return ops_->memory().free_bytes; }
  Result<std::unique_ptr<KvPool>> make_pool(std::int64_t pages) override;
  Status forward(std::span<const SequenceStep> batch, std::span<float> logits) override;

 private:
  const ModelConfig& config() const { return facts_.config; }
  Status load_ends(WeightLoader& loader);
  Result<Layer> load_layer(WeightLoader& loader, std::int64_t index);
  Status allocate_activations();
  Status check_step(const SequenceStep& step) const;
  Result<const DecoderPool*> check_batch(std::span<const SequenceStep> batch,
                                         std::span<const float> logits);
  void run_layers(const DecoderPool& pool);
  void gather_wanted(const DeviceArray& from, const TensorView& to);
  void run_head();

  ModelFacts facts_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Attention> attention_;

  DeviceWeight embedding_;
  DeviceWeight head_;  // empty where the embeddings serve
  bool head_is_embedding_ = false;
  DeviceArray final_norm_;
  DeviceArray inv_freq_;
  std::vector<Layer> layers_;

  StepInputs inputs_;
  DecodeGraphs graphs_;
  std::int64_t pools_made_ = 0;
  std::vector<const KvCache*> caches_;  // of a batch, to see that each occurs once
  DeviceArray x_;                       // the residual stream
  DeviceArray normed_;
  DeviceArray delta_;     // what the last block adds to it
  DeviceArray wanted_x_;  // the rows of x_ that logits follow
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
  const std::int64_t hidden = config().hidden_size;
  const auto room = [&](std::int64_t capacity) {
    return DeviceArray::allocate(*ops_, ops_->activation_dtype(), capacity);
  };
  inputs_ = GLM_TRY(StepInputs::allocate(*ops_, kBatch, facts_.context_max));
  caches_.reserve(static_cast<std::size_t>(kBatch.sequences_max));
  x_ = GLM_TRY(room(kBatch.tokens_max * hidden));
  normed_ = GLM_TRY(room(kBatch.tokens_max * hidden));
  delta_ = GLM_TRY(room(kBatch.tokens_max * hidden));
  wanted_x_ = GLM_TRY(room(kBatch.sequences_max * hidden));
  logits_ =
      GLM_TRY(DeviceArray::allocate(*ops_, Dtype::f32, kBatch.sequences_max * config().vocab_size));
  mlp_scratch_ = GLM_TRY(MlpScratch::allocate(*ops_, config(), kBatch.tokens_max));
  GLM_TRY(ops_->reserve({.tokens = kBatch.tokens_max,
                         .chosen = config().moe.experts_per_token,
                         .experts = config().moe.experts,
                         .hidden = config().hidden_size,
                         .inner = config().moe.intermediate_size}));
  return attention_->allocate_activations(
      *ops_, config(), {.tokens_max = kBatch.tokens_max, .positions_max = facts_.context_max});
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

std::uint64_t Decoder::page_bytes() const {
  return static_cast<std::uint64_t>(config().layers * kPageTokens * config().cache_dim() *
                                    kernels::size_bytes(ops_->activation_dtype()));
}

Result<std::unique_ptr<KvPool>> Decoder::make_pool(std::int64_t pages) {
  if (pages < 1 || pages > std::numeric_limits<std::int32_t>::max()) {
    return make_error(Errc::invalid_argument, "a pool of {} pages: wanted 1 to {}", pages,
                      std::numeric_limits<std::int32_t>::max());
  }
  const ModelConfig& c = config();
  DeviceArray memory =
      GLM_TRY(DeviceArray::allocate(*ops_, ops_->activation_dtype(),
                                    c.layers * pages * kPageTokens * c.cache_dim())
                  .with(fmt::format("a pool of {} pages of {} tokens", pages, kPageTokens)));
  const TensorView view = memory.view({c.layers, pages, kPageTokens, c.cache_dim()});
  return std::unique_ptr<KvPool>(
      std::make_unique<DecoderPool>(this, ++pools_made_, std::move(memory), view));
}

Status Decoder::check_step(const SequenceStep& step) const {
  if (step.tokens.empty()) return make_error(Errc::invalid_argument, "no tokens to run");
  for (const std::int32_t token : step.tokens) {
    if (token >= 0 && token < facts_.vocab_size) continue;
    return make_error(Errc::invalid_argument, "token {} is outside the vocabulary of {}", token,
                      facts_.vocab_size);
  }
  const auto count = static_cast<std::int64_t>(step.tokens.size());
  if (count > facts_.context_max - step.cache->length()) {
    return make_error(Errc::invalid_argument, "{} tokens do not fit: the context holds {} of {}",
                      count, step.cache->length(), facts_.context_max);
  }
  return Ok{};
}

// The pool all caches are of. Takes the pages they need, once nothing can fail any more.
Result<const DecoderPool*> Decoder::check_batch(std::span<const SequenceStep> batch,
                                                std::span<const float> logits) {
  const auto sequences = static_cast<std::int64_t>(batch.size());
  if (sequences < 1 || sequences > kBatch.sequences_max) {
    return make_error(Errc::invalid_argument, "a batch of {} sequences, wanted 1 to {}", sequences,
                      kBatch.sequences_max);
  }
  const auto* pool = dynamic_cast<const DecoderPool*>(&batch.front().cache->pool());
  GLM_CHECK(pool != nullptr && pool->belongs_to(this));
  std::int64_t tokens = 0;
  std::int64_t wanted = 0;
  std::int64_t pages = 0;
  caches_.clear();
  for (const SequenceStep& step : batch) {
    GLM_CHECK(&step.cache->pool() == pool);
    GLM_TRY(check_step(step));
    const auto count = static_cast<std::int64_t>(step.tokens.size());
    tokens += count;
    wanted += step.wants_logits ? 1 : 0;
    pages += step.cache->pages_missing(count);
    caches_.push_back(step.cache);
  }
  std::sort(caches_.begin(), caches_.end(), std::less<>());
  GLM_CHECK(std::adjacent_find(caches_.begin(), caches_.end()) == caches_.end());
  if (tokens > kBatch.tokens_max) {
    return make_error(Errc::invalid_argument, "a batch of {} tokens, wanted at most {}", tokens,
                      kBatch.tokens_max);
  }
  if (static_cast<std::int64_t>(logits.size()) != wanted * facts_.vocab_size) {
    return make_error(Errc::invalid_argument, "room for {} logits, wanted {}", logits.size(),
                      wanted * facts_.vocab_size);
  }
  if (pages > pool->pages_free()) {
    return make_error(Errc::exhausted, "the batch wants {} pages, {} of {} are free", pages,
                      pool->pages_free(), pool->pages());
  }
  for (const SequenceStep& step : batch) {
    GLM_TRY(step.cache->reserve(static_cast<std::int64_t>(step.tokens.size())));
  }
  return pool;
}

Status Decoder::forward(std::span<const SequenceStep> batch, std::span<float> logits) {
  const DecoderPool* pool = GLM_TRY(check_batch(batch, logits));
  inputs_.upload(*ops_, batch);
  const auto enqueue = [&] {
    run_layers(*pool);
    if (inputs_.wanted() > 0) run_head();
  };
  const auto sequences = static_cast<std::int64_t>(batch.size());
  if (inputs_.tokens() == sequences && inputs_.wanted() == sequences &&
      attention_->single_tokens_repeat()) {
    graphs_.run(
        *ops_,
        {.pool = pool->number(), .sequences = sequences, .table_width = inputs_.table().size(1)},
        enqueue);
  } else {
    enqueue();
  }
  if (inputs_.wanted() > 0) {
    ops_->download(std::as_writable_bytes(logits), logits_.view({logits_.capacity()}).data);
  }
  GLM_TRY(ops_->sync());
  for (const SequenceStep& step : batch) {
    step.cache->append(static_cast<std::int64_t>(step.tokens.size()));
  }
  return Ok{};
}

// Leaves the residual stream in x_ and the last block's contribution, not yet added, in delta_.
void Decoder::run_layers(const DecoderPool& pool) {
  const std::int64_t count = inputs_.tokens();
  const std::int64_t hidden = config().hidden_size;
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
  ops_->embedding({.out = x, .ids = inputs_.ids(), .table = embedding_.view()});
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
                         .inv_freq = inv_freq_.view({config().rope_dim() / 2}),
                         .rows = {.pages = pool.layer(index), .table = inputs_.table()},
                         .tokens = inputs_.places(),
                         .stretches = inputs_.stretches()});
    norm(layer.post_attention_norm);
    const MlpStep step{.x = normed, .out = delta};
    if (static_cast<std::int64_t>(index) < config().dense_layers) {
      layer.dense.forward(*ops_, mlp_scratch_, step);
    } else {
      layer.moe.forward(*ops_, mlp_scratch_, step);
    }
  }
}

// The rows of an activation that logits follow; reading rows of a table by their numbers is what
// the embedding does.
void Decoder::gather_wanted(const DeviceArray& from, const TensorView& to) {
  const bool f32 = ops_->activation_dtype() == Dtype::f32;
  const std::int64_t hidden = config().hidden_size;
  ops_->embedding({.out = to,
                   .ids = inputs_.wanted_rows(),
                   .table = {.layout = {.format = f32 ? WeightFormat::f32 : WeightFormat::bf16,
                                        .rows = inputs_.tokens(),
                                        .cols = hidden},
                             .data = from.view({inputs_.tokens(), hidden}).data}});
}

// Logits of the batch that just ran: one pass over the head's weights for all that want some.
void Decoder::run_head() {
  const std::int64_t hidden = config().hidden_size;
  const std::int64_t wanted = inputs_.wanted();
  const TensorView normed = normed_.view({wanted, hidden});
  TensorView x = x_.view({wanted, hidden});
  ConstTensorView delta = delta_.view({wanted, hidden});
  if (wanted < inputs_.tokens()) {
    x = wanted_x_.view({wanted, hidden});
    delta = normed;
    gather_wanted(x_, x);
    gather_wanted(delta_, normed);
  }
  ops_->rms_norm({.out = normed,
                  .x = delta,
                  .weight = final_norm_.view({hidden}),
                  .residual = x,
                  .eps = config().rms_norm_eps});
  ops_->linear({.out = logits_.view({wanted, config().vocab_size}),
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
