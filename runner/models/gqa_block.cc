#include "runner/models/gqa_block.h"

#include <cmath>
#include <utility>

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

// Of q, k and v, one after the other; nothing where the config has none.
Result<DeviceArray> load_biases(WeightLoader& loader, Ops& ops, const std::string& prefix,
                                const ModelConfig& config) {
  const GqaDims& dims = config.gqa;
  std::vector<float> all;
  for (const auto& [name, heads] :
       {std::pair(".q_proj.bias", config.heads), std::pair(".k_proj.bias", dims.kv_heads),
        std::pair(".v_proj.bias", dims.kv_heads)}) {
    GLM_TRY(agree(loader, prefix + name, "attention_bias", dims.bias));
    if (!dims.bias) continue;
    const std::vector<float> values =
        GLM_TRY(loader.floats(prefix + name, {heads * dims.head_dim}));
    all.insert(all.end(), values.begin(), values.end());
  }
  if (all.empty()) return DeviceArray();
  const auto count = static_cast<std::int64_t>(all.size());
  DeviceArray biases = GLM_TRY(DeviceArray::allocate(ops, Dtype::f32, count));
  ops.upload(biases.view({count}).data, std::as_bytes(std::span<const float>(all)));
  GLM_TRY(ops.sync());
  return biases;
}

}  // namespace

Result<GqaScratch> GqaScratch::allocate(Ops& ops, const ModelConfig& config,
                                        std::int64_t tokens_max) {
  const GqaDims& dims = config.gqa;
  const auto room = [&](std::int64_t heads) {
    return DeviceArray::allocate(ops, ops.activation_dtype(), tokens_max * heads * dims.head_dim);
  };
  GqaScratch scratch;
  scratch.qkv_ = GLM_TRY(room(config.heads + 2 * dims.kv_heads));
  scratch.heads_out_ = GLM_TRY(room(config.heads));
  return scratch;
}

Result<GqaBlock> GqaBlock::load(WeightLoader& loader, Ops& ops, const std::string& prefix,
                                const ModelConfig& config) {
  const GqaDims& dims = config.gqa;
  const std::int64_t wide = config.heads * dims.head_dim;
  const std::int64_t narrow = dims.kv_heads * dims.head_dim;
  GqaBlock block;
  block.config_ = &config;
  block.qkv_ = GLM_TRY(loader.stacked(
      {{prefix + ".q_proj", wide}, {prefix + ".k_proj", narrow}, {prefix + ".v_proj", narrow}},
      config.hidden_size));
  block.bias_ = GLM_TRY(load_biases(loader, ops, prefix, config));
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
  const std::int64_t width = (heads + 2 * dims.kv_heads) * dims.head_dim;
  const TensorView qkv = scratch.qkv_.view({tokens, width});
  ops.rms_norm(step.norm);
  std::int64_t first_output = 0;
  for (const DeviceWeight& weight : qkv_) {
    const std::int64_t outputs = weight.layout().rows;
    ops.linear({.out = qkv.slice(1, first_output, outputs),
                .x = step.norm.out,
                .weight = weight.view(),
                .bias = bias_.capacity() > 0
                            ? ConstTensorView(bias_.view({width}).slice(0, first_output, outputs))
                            : ConstTensorView()});
    first_output += outputs;
  }
  const bool normed = dims.qk_norm;
  const auto norm = [&](const DeviceArray& weight) {
    return normed ? ConstTensorView(weight.view({dims.head_dim})) : ConstTensorView();
  };
  const kernels::GqaRows rows{.qkv = qkv,
                              .heads = heads,
                              .kv_heads = dims.kv_heads,
                              .q_norm = norm(q_norm_),
                              .k_norm = norm(k_norm_),
                              .eps = config_->rms_norm_eps,
                              .inv_freq = step.inv_freq,
                              .pairs = config_->rope_interleaved ? kernels::RopePairs::interleaved
                                                                 : kernels::RopePairs::half_split,
                              .rows = step.rows,
                              .tokens = step.tokens};
  ops.gqa_rows(rows);
  const TensorView q = rows.queries();

  const TensorView out = scratch.heads_out_.view({tokens, heads * dims.head_dim});
  const auto attend = [&](std::int64_t first, std::int64_t count, std::int64_t sequences) {
    if (count == 0) return;
    ops.gqa_attention(
        {.out = out.as_heads(heads).slice(0, first, count),
         .q = q.slice(0, first, count),
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
  std::uint64_t sum =
      bias_.size_bytes() + o_.size_bytes() + q_norm_.size_bytes() + k_norm_.size_bytes();
  for (const DeviceWeight& weight : qkv_) sum += weight.size_bytes();
  return sum;
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
