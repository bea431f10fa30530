#include "runner/models/decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"
#include "runner/models/check_batch.h"
#include "runner/models/decode_graphs.h"
#include "runner/models/decoder_pool.h"
#include "runner/models/device_array.h"
#include "runner/models/mlp_block.h"
#include "runner/models/step_inputs.h"
#include "runner/models/steps_in_flight.h"

namespace glm::runner {
namespace {

using kernels::ConstTensorView;
using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;
using kernels::WeightFormat;

struct Layer {
  DeviceArray input_norm;
  DeviceArray post_attention_norm;
  MlpBlock dense;  // in the first layers
  MoeBlock moe;    // in the others
};

// How a layer keeps a token: elements of pages.
struct CachedRow {
  Dtype dtype = Dtype::f32;
  std::int64_t elements = 0;
  std::int64_t fp8_latent = 0;  // PagedRows::fp8_latent
};

class Decoder final : public Model {
 public:
  Decoder(ModelFacts facts, std::unique_ptr<Ops> ops, std::unique_ptr<Attention> attention,
          kernels::KvFormat kv_format)
      : facts_(std::move(facts)),
        ops_(std::move(ops)),
        attention_(std::move(attention)),
        kv_format_(kv_format) {}
  ~Decoder() override { (void)ops_->sync(); }  // nobody uses memory that goes now

  Status load(const Checkpoint& checkpoint, const LoadOptions& options);

  const ModelFacts& facts() const override { return facts_; }
  std::uint64_t weight_bytes() const override;
  BatchLimits batch_limits() const override { return limits_; }
  std::uint64_t page_bytes() const override;
  std::uint64_t memory_free_bytes() const override { return ops_->memory().free_bytes; }
  Result<std::unique_ptr<KvPool>> make_pool(std::int64_t pages) override;
  Status forward(std::span<const SequenceStep> batch, std::span<float> logits) override;
  Status submit(std::span<const SequenceStep> batch) override;
  Result<std::span<const Sampled>> collect() override { return in_flight_.collect(*ops_); }
  StepTimes collected_times() const override { return in_flight_.collected_times(); }

 private:
  const ModelConfig& config() const { return facts_.config; }
  CachedRow cached_row() const;
  Status load_ends(WeightLoader& loader);
  Result<Layer> load_layer(WeightLoader& loader, std::int64_t index);
  Status allocate_activations();
  Result<const DecoderPool*> admit(std::span<const SequenceStep> batch, StepEnd end,
                                   std::span<const float> logits);
  Status run(const DecoderPool& pool, std::span<const SequenceStep> batch, StepEnd end);
  void run_layers(const DecoderPool& pool);
  void gather_wanted(const DeviceArray& from, const TensorView& to);
  void run_end(const DecoderPool& pool, StepEnd end);

  ModelFacts facts_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Attention> attention_;
  kernels::KvFormat kv_format_;

  DeviceWeight embedding_;
  DeviceWeight head_;  // empty where the embeddings serve
  bool head_is_embedding_ = false;
  DeviceArray final_norm_;
  DeviceArray inv_freq_;
  std::vector<Layer> layers_;

  BatchLimits limits_;
  BatchCheck check_batch_;
  StepInputs inputs_;
  StepsInFlight in_flight_;
  DecodeGraphs graphs_;
  std::int64_t pools_made_ = 0;
  DeviceArray ids_;
  DeviceArray x_;         // the residual stream between layers
  DeviceArray inside_x_;  // the same inside a layer, before its feed-forward half
  DeviceArray normed_;
  DeviceArray delta_;     // what the last block adds to it
  DeviceArray wanted_x_;  // the rows of x_ that logits follow
  DeviceArray logits_;
  MlpScratch mlp_scratch_;
};

Status Decoder::load(const Checkpoint& checkpoint, const LoadOptions& options) {
  WeightLoader loader(checkpoint, facts_.quantization, *ops_, options.progress, options.stop);
  const std::int64_t mtp_layers = std::max<std::int64_t>(config().mtp_layers, 1);
  for (std::int64_t layer = config().layers; layer < config().layers + mtp_layers; ++layer) {
    loader.skip(fmt::format("model.layers.{}.", layer));
  }
  GLM_TRY(load_ends(loader));
  layers_.reserve(static_cast<std::size_t>(config().layers));
  for (std::int64_t index = 0; index < config().layers; ++index) {
    layers_.push_back(GLM_TRY(load_layer(loader, index)));
  }
  GLM_TRY(allocate_activations());
  GLM_TRY(loader.finish());
  for (std::string& note : loader.notes()) facts_.notes.push_back(std::move(note));
  return Ok{};
}

Status Decoder::load_ends(WeightLoader& loader) {
  const std::int64_t hidden = config().hidden_size;
  const WeightShape table{config().vocab_size, hidden};
  embedding_ = GLM_TRY(loader.weight("model.embed_tokens", table));
  head_is_embedding_ = config().tied_embeddings ||
                       GLM_TRY(loader.same_bytes("lm_head.weight", "model.embed_tokens.weight"));
  if (!head_is_embedding_) {
    head_ = GLM_TRY(loader.weight("lm_head", table));
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
    layer.dense =
        GLM_TRY(MlpBlock::load(loader, prefix + ".mlp", config(), config().intermediate_size));
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
  limits_ = batch_limits_of(ops_->backend() != "cpu");
  inputs_ = GLM_TRY(StepInputs::allocate(*ops_, limits_, facts_.context_max));
  in_flight_ = GLM_TRY(StepsInFlight::allocate(*ops_, inputs_.size_bytes(), limits_.sequences_max));
  check_batch_ = BatchCheck(facts_, limits_);
  ids_ = GLM_TRY(DeviceArray::allocate(*ops_, Dtype::i32, limits_.tokens_max));
  x_ = GLM_TRY(room(limits_.tokens_max * hidden));
  inside_x_ = GLM_TRY(room(limits_.tokens_max * hidden));
  normed_ = GLM_TRY(room(limits_.tokens_max * hidden));
  delta_ = GLM_TRY(room(limits_.tokens_max * hidden));
  wanted_x_ = GLM_TRY(room(limits_.sequences_max * hidden));
  logits_ = GLM_TRY(
      DeviceArray::allocate(*ops_, Dtype::f32, limits_.sequences_max * config().vocab_size));
  mlp_scratch_ = GLM_TRY(MlpScratch::allocate(*ops_, config(), limits_.tokens_max));
  GLM_TRY(ops_->reserve({.tokens = limits_.tokens_max,
                         .chosen = config().moe.experts_per_token,
                         .experts = config().moe.experts,
                         .hidden = config().hidden_size,
                         .inner = config().moe.intermediate_size,
                         .rows = limits_.sequences_max,
                         .vocab = config().vocab_size}));
  return attention_->allocate_activations(
      *ops_, config(), {.tokens_max = limits_.tokens_max, .positions_max = facts_.context_max});
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

CachedRow Decoder::cached_row() const {
  if (kv_format_ == kernels::KvFormat::plain) {
    return {.dtype = ops_->activation_dtype(), .elements = config().cache_dim()};
  }
  const kernels::LatentRecord record{.latent = config().mla.kv_rank, .rope = config().mla.rope_dim};
  return {.dtype = Dtype::u8, .elements = record.size_bytes(), .fp8_latent = record.latent};
}

std::uint64_t Decoder::page_bytes() const {
  const CachedRow row = cached_row();
  return static_cast<std::uint64_t>(config().layers * kPageTokens * row.elements *
                                    kernels::size_bytes(row.dtype));
}

Result<std::unique_ptr<KvPool>> Decoder::make_pool(std::int64_t pages) {
  constexpr std::int64_t kPagesMax = std::numeric_limits<std::int32_t>::max() / kPageTokens;
  if (pages < 1 || pages > kPagesMax) {
    return make_error(Errc::invalid_argument, "a pool of {} pages: wanted 1 to {}", pages,
                      kPagesMax);
  }
  const CachedRow row = cached_row();
  const std::int64_t all = pages + 1;  // with the spare one
  const auto allocate = [&](Dtype dtype, std::int64_t elements) {
    return DeviceArray::allocate(*ops_, dtype, elements)
        .with(fmt::format("a pool of {} pages of {} tokens", pages, kPageTokens));
  };
  DecoderPool::Memory memory;
  memory.fp8_latent = row.fp8_latent;
  memory.rows = GLM_TRY(allocate(row.dtype, config().layers * all * kPageTokens * row.elements));
  memory.rows_view = memory.rows.view({config().layers, all, kPageTokens, row.elements});
  memory.ids = GLM_TRY(allocate(Dtype::i32, all * kPageTokens));
  // Whatever a mistaken step reads there is an id of the vocabulary.
  const std::vector<std::int32_t> zeros(static_cast<std::size_t>(all * kPageTokens));
  ops_->upload(memory.ids.view({all, kPageTokens}).data,
               std::as_bytes(std::span<const std::int32_t>(zeros)));
  GLM_TRY(ops_->sync());
  return std::unique_ptr<KvPool>(
      std::make_unique<DecoderPool>(this, ++pools_made_, std::move(memory)));
}

// The pool all caches are of. Takes the pages they need, once nothing can fail any more.
Result<const DecoderPool*> Decoder::admit(std::span<const SequenceStep> batch, StepEnd end,
                                          std::span<const float> logits) {
  GLM_TRY(check_batch_(batch, end, logits));
  const auto* pool = dynamic_cast<const DecoderPool*>(&batch.front().cache->pool());
  GLM_CHECK(pool != nullptr && pool->belongs_to(this));
  for (const SequenceStep& step : batch) GLM_TRY(step.cache->reserve(step.count()));
  return pool;
}

Status Decoder::forward(std::span<const SequenceStep> batch, std::span<float> logits) {
  GLM_CHECK(in_flight_.empty());
  const DecoderPool* pool = GLM_TRY(admit(batch, StepEnd::logits, logits));
  GLM_TRY(run(*pool, batch, StepEnd::logits));
  if (inputs_.wanted() > 0) {
    ops_->download(std::as_writable_bytes(logits), logits_.view({logits_.capacity()}).data);
  }
  GLM_TRY(ops_->sync());
  for (const SequenceStep& step : batch) step.cache->append(step.count());
  return Ok{};
}

Status Decoder::submit(std::span<const SequenceStep> batch) {
  const DecoderPool* pool = GLM_TRY(admit(batch, StepEnd::tokens, {}));
  GLM_TRY(run(*pool, batch, StepEnd::tokens));
  const auto wanted = std::count_if(batch.begin(), batch.end(), [](const SequenceStep& step) {
    return wants_end(step, StepEnd::tokens);
  });
  GLM_TRY(in_flight_.launch(*ops_, wanted));
  for (const SequenceStep& step : batch) step.cache->append(step.count());
  return Ok{};
}

// Asks for the operations of a step: as a recording where every sequence gets one token and wants
// one.
Status Decoder::run(const DecoderPool& pool, std::span<const SequenceStep> batch, StepEnd end) {
  const bool repeats = ops_->records() && attention_->single_tokens_repeat() &&
                       std::all_of(batch.begin(), batch.end(), [&](const SequenceStep& step) {
                         return step.count() == 1 && wants_end(step, end);
                       });
  Padding padding{.page = pool.spare_page()};
  if (repeats && end == StepEnd::tokens) {
    const auto sequences = static_cast<std::int64_t>(batch.size());
    padding.sequences = std::min(recorded_sequences(sequences), limits_.sequences_max) - sequences;
  }
  inputs_.upload(*ops_, in_flight_.inputs(), batch, end, padding);
  const StepResults results = in_flight_.results();
  const auto enqueue = [&] {
    run_layers(pool);
    if (inputs_.wanted() > 0) run_end(pool, end);
    ops_->timestamp({.out = &results.times->ended_ns});
  };
  if (repeats) {
    return graphs_.run(*ops_,
                       {.pool = pool.number(),
                        .sequences = inputs_.tokens(),
                        .table_width = inputs_.table().size(1),
                        .samples = end == StepEnd::tokens,
                        .filters = inputs_.may_filter(),
                        .looks = inputs_.may_look()},
                       enqueue);
  }
  enqueue();
  return Ok{};
}

// Leaves the residual stream in x_ and the last block's contribution, not yet added, in delta_.
void Decoder::run_layers(const DecoderPool& pool) {
  const std::int64_t count = inputs_.tokens();
  const std::int64_t hidden = config().hidden_size;
  const TensorView x = x_.view({count, hidden});
  const TensorView inside_x = inside_x_.view({count, hidden});
  const TensorView normed = normed_.view({count, hidden});
  const TensorView delta = delta_.view({count, hidden});
  const TensorView ids = ids_.view({count});
  ops_->step_ids({.ids = ids,
                  .history = {.pages = pool.ids(), .table = inputs_.table()},
                  .tokens = inputs_.places(),
                  .given = inputs_.given(),
                  .rows = inside_x,
                  .table = embedding_.view(),
                  .began_ns = &in_flight_.results().times->began_ns});
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const Layer& layer = layers_[index];
    kernels::RmsNorm norm{.out = normed,
                          .x = inside_x,
                          .weight = layer.input_norm.view({hidden}),
                          .eps = config().rms_norm_eps};
    if (index > 0) {
      norm.x = delta;
      norm.residual = x;
      norm.sum = inside_x;
    }
    const kernels::Linear projection =
        attention_->forward(*ops_, index,
                            {.norm = norm,
                             .out = delta,
                             .inv_freq = inv_freq_.view({config().rope_dim() / 2}),
                             .rows = pool.layer(index, inputs_.table()),
                             .tokens = inputs_.places(),
                             .stretches = inputs_.stretches()});
    const MlpStep step{.front = {.projection = projection,
                                 .norm = {.out = normed,
                                          .x = delta,
                                          .weight = layer.post_attention_norm.view({hidden}),
                                          .residual = inside_x,
                                          .sum = x,
                                          .eps = config().rms_norm_eps}},
                       .out = delta};
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

// Logits of the batch that just ran, one pass over the head's weights for all that want some; or a
// token from each row of them, told to the host and to the pages.
void Decoder::run_end(const DecoderPool& pool, StepEnd end) {
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
                  .sum = x,
                  .eps = config().rms_norm_eps});
  const kernels::Linear head{.out = logits_.view({wanted, config().vocab_size}),
                             .x = normed,
                             .weight = head_is_embedding_ ? embedding_.view() : head_.view()};
  if (end == StepEnd::logits) return ops_->linear(head);
  ops_->sample({.out = in_flight_.results().sampled,
                .logits = head.out,
                .rows = inputs_.sample_rows(),
                .history = {.pages = pool.ids(), .table = inputs_.table()},
                .biases = inputs_.biases(),
                .may_filter = inputs_.may_filter(),
                .may_look = inputs_.may_look(),
                .head = head});
}

}  // namespace

Result<std::unique_ptr<Model>> load_decoder(const Checkpoint& checkpoint, ModelFacts facts,
                                            std::unique_ptr<Ops> ops,
                                            std::unique_ptr<Attention> attention,
                                            const LoadOptions& options) {
  auto model = std::make_unique<Decoder>(std::move(facts), std::move(ops), std::move(attention),
                                         options.kv_format);
  GLM_TRY(model->load(checkpoint, options));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace glm::runner
