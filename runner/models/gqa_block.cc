#include "runner/models/gqa_block.h"

#include <cmath>

namespace glm::runner {
namespace {

using kernels::ConstTensorView;
using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;

Status agree(const WeightLoader& loader, const std::string& tensor, const char* field,
             bool wanted) {
  if (wanted || !loader.has(tensor)) return Ok{};
  return make_error(Errc::corrupt,
                    "tensor '{}' is there, but config.json says {} is false (or leaves it out): "
                    "one of the two is wrong",
                    tensor, field);
}

}  // namespace

Result<GqaScratch> GqaScratch::allocate(Ops& ops, const ModelConfig& config,
                                        std::int64_t tokens_max) {
  const std::int64_t head = tokens_max * config.gqa.head_dim;
  const auto room = [&](std::int64_t capacity) {
    return DeviceArray::allocate(ops, ops.activation_dtype(), capacity);
  };
  GqaScratch scratch;
  scratch.q_ = GLM_TRY(room(config.heads * head));
  scratch.k_ = GLM_TRY(room(config.gqa.kv_heads * head));
  scratch.rows_ = GLM_TRY(room(tokens_max * config.cache_dim()));
  scratch.heads_out_ = GLM_TRY(room(config.heads * head));
  return scratch;
}

Result<GqaBlock::Projection> GqaBlock::load_projection(WeightLoader& loader, Ops& ops,
                                                       const std::string& module, WeightShape shape,
                                                       bool has_bias) {
  const std::string bias = module + ".bias";
  GLM_TRY(agree(loader, bias, "attention_bias", has_bias));
  Projection projection;
  projection.outputs = shape.rows;
  projection.weight = GLM_TRY(loader.weight(module, shape));
  if (!has_bias) return projection;
  const std::vector<float> values = GLM_TRY(loader.floats(bias, {shape.rows}));
  projection.bias = GLM_TRY(DeviceArray::allocate(ops, Dtype::f32, shape.rows));
  ops.upload(projection.bias.view({shape.rows}).data, std::as_bytes(std::span(values)));
  GLM_TRY(ops.sync());
  return projection;
}

void GqaBlock::Projection::apply(Ops& ops, const ConstTensorView& x, const TensorView& out) const {
  const bool has_bias = bias.capacity() > 0;
  ops.linear({.out = out,
              .x = x,
              .weight = weight.view(),
              .bias = has_bias ? ConstTensorView(bias.view({outputs})) : ConstTensorView()});
}

Result<GqaBlock> GqaBlock::load(WeightLoader& loader, Ops& ops, const std::string& prefix,
                                const ModelConfig& config) {
  const GqaDims& dims = config.gqa;
  const std::int64_t wide = config.heads * dims.head_dim;
  const std::int64_t narrow = dims.kv_heads * dims.head_dim;
  const auto projection = [&](const char* name, std::int64_t outputs) {
    return load_projection(loader, ops, prefix + name, {outputs, config.hidden_size}, dims.bias);
  };
  GqaBlock block;
  block.config_ = &config;
  block.q_ = GLM_TRY(projection(".q_proj", wide));
  block.k_ = GLM_TRY(projection(".k_proj", narrow));
  block.v_ = GLM_TRY(projection(".v_proj", narrow));
  block.o_ = GLM_TRY(loader.weight(prefix + ".o_proj", {config.hidden_size, wide}));
  const std::string q_norm = prefix + ".q_norm.weight";
  const std::string k_norm = prefix + ".k_norm.weight";
  GLM_TRY(agree(loader, q_norm, "use_qk_norm", dims.qk_norm));
  GLM_TRY(agree(loader, k_norm, "use_qk_norm", dims.qk_norm));
  if (dims.qk_norm) {
    block.q_norm_ = GLM_TRY(load_vector(loader, ops, q_norm, dims.head_dim));
    block.k_norm_ = GLM_TRY(load_vector(loader, ops, k_norm, dims.head_dim));
  }
  return block;
}

kernels::Linear GqaBlock::forward(Ops& ops, GqaScratch& scratch, const AttentionStep& step) const {
  const GqaDims& dims = config_->gqa;
  const std::int64_t heads = config_->heads;
  const std::int64_t tokens = step.norm.x.size(0);
  const std::int64_t narrow = dims.kv_heads * dims.head_dim;
  const TensorView q = scratch.q_.view({tokens, heads * dims.head_dim});
  const TensorView k = scratch.k_.view({tokens, narrow});
  const TensorView new_rows = scratch.rows_.view({tokens, 2 * narrow});
  ops.rms_norm(step.norm);
  q_.apply(ops, step.norm.out, q);
  k_.apply(ops, step.norm.out, k);
  v_.apply(ops, step.norm.out, new_rows.slice(1, narrow, narrow));

  const auto norm = [&](const DeviceArray& array, std::int64_t count, const DeviceArray& weight) {
    const TensorView rows = array.view({tokens * count, dims.head_dim});
    ops.rms_norm({.out = rows,
                  .x = rows,
                  .weight = weight.view({dims.head_dim}),
                  .eps = config_->rms_norm_eps});
  };
  if (dims.qk_norm) {
    norm(scratch.q_, heads, q_norm_);
    norm(scratch.k_, dims.kv_heads, k_norm_);
  }

  kernels::Rope rope{.out = q.as_heads(heads),
                     .x = q.as_heads(heads),
                     .positions = step.tokens.position,
                     .inv_freq = step.inv_freq,
                     .pairs = config_->rope_interleaved ? kernels::RopePairs::interleaved
                                                        : kernels::RopePairs::half_split};
  ops.rope(rope);
  rope.out = new_rows.slice(1, 0, narrow).as_heads(dims.kv_heads);
  rope.x = k.as_heads(dims.kv_heads);
  ops.rope(rope);

  ops.store_rows({.rows = step.rows, .tokens = step.tokens, .x = new_rows});

  const TensorView out = scratch.heads_out_.view({tokens, heads * dims.head_dim});
  const auto attend = [&](std::int64_t first, std::int64_t count, std::int64_t sequences) {
    if (count == 0) return;
    ops.gqa_attention(
        {.out = out.as_heads(heads).slice(0, first, count),
         .q = q.as_heads(heads).slice(0, first, count),
         .rows = step.rows,
         .tokens = {.sequence = step.tokens.sequence.slice(0, first, count),
                    .position = step.tokens.position.slice(0, first, count),
                    .positions_max = step.tokens.positions_max,
                    .sequences = sequences},
         .kv_heads = dims.kv_heads,
         .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dims.head_dim)))});
  };
  // Single tokens next to each other together, a stretch of a prompt by itself.
  std::int64_t first = 0;
  std::int64_t singles = 0;
  for (const Stretch& stretch : step.stretches) {
    if (stretch.tokens == 1) {
      ++singles;
      continue;
    }
    attend(first, singles, singles);
    attend(stretch.first_token, stretch.tokens, 1);
    first = stretch.first_token + stretch.tokens;
    singles = 0;
  }
  attend(first, singles, singles);
  return {.out = step.out, .x = out, .weight = o_.view()};
}

std::uint64_t GqaBlock::size_bytes() const {
  return q_.size_bytes() + k_.size_bytes() + v_.size_bytes() + o_.size_bytes() +
         q_norm_.size_bytes() + k_norm_.size_bytes();
}

Status GqaLayers::load_layer(WeightLoader& loader, Ops& ops, const std::string& prefix,
                             const ModelConfig& config) {
  layers_.push_back(GLM_TRY(GqaBlock::load(loader, ops, prefix, config)));
  return Ok{};
}

Status GqaLayers::allocate_activations(Ops& ops, const ModelConfig& config,
                                       const AttentionLimits& limits) {
  scratch_ = GLM_TRY(GqaScratch::allocate(ops, config, limits.tokens_max));
  return Ok{};
}

kernels::Linear GqaLayers::forward(Ops& ops, std::size_t layer, const AttentionStep& step) {
  return layers_[layer].forward(ops, scratch_, step);
}

std::uint64_t GqaLayers::size_bytes() const {
  std::uint64_t sum = 0;
  for (const GqaBlock& layer : layers_) sum += layer.size_bytes();
  return sum;
}

}  // namespace glm::runner
