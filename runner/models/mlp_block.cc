#include "runner/models/mlp_block.h"

#include <algorithm>

namespace glm::runner {

using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;

Result<MlpScratch> MlpScratch::allocate(Ops& ops, const ModelConfig& config,
                                        std::int64_t tokens_max) {
  const MoeDims& moe = config.moe;
  const std::int64_t inner =
      std::max(config.intermediate_size, moe.shared_experts * moe.intermediate_size);
  const Dtype dtype = ops.activation_dtype();
  MlpScratch scratch;
  scratch.inner_ = GLM_TRY(DeviceArray::allocate(ops, dtype, tokens_max * inner));
  scratch.shared_out_ = GLM_TRY(DeviceArray::allocate(ops, dtype, tokens_max * config.hidden_size));
  scratch.router_logits_ =
      GLM_TRY(DeviceArray::allocate(ops, Dtype::f32, tokens_max * moe.experts));
  scratch.expert_ids_ =
      GLM_TRY(DeviceArray::allocate(ops, Dtype::i32, tokens_max * moe.experts_per_token));
  scratch.expert_weights_ =
      GLM_TRY(DeviceArray::allocate(ops, Dtype::f32, tokens_max * moe.experts_per_token));
  return scratch;
}

Result<MlpBlock> MlpBlock::load(WeightLoader& loader, const std::string& prefix,
                                const ModelConfig& config, std::int64_t inner) {
  const auto weight = [&](const char* name, WeightShape shape) {
    return loader.weight(prefix + name, shape);
  };
  MlpBlock block;
  block.inner_ = inner;
  block.gate_ = GLM_TRY(weight(".gate_proj", {inner, config.hidden_size}));
  block.up_ = GLM_TRY(weight(".up_proj", {inner, config.hidden_size}));
  block.down_ = GLM_TRY(weight(".down_proj", {config.hidden_size, inner}));
  return block;
}

void MlpBlock::forward(Ops& ops, MlpScratch& scratch, const MlpStep& step) const {
  const TensorView x = step.front.norm.out;
  const TensorView inner = scratch.inner_.view({x.size(0), inner_});
  ops.linear(step.front.projection);
  ops.rms_norm(step.front.norm);
  ops.gated_linear({.out = inner, .x = x, .gate = gate_.view(), .up = up_.view()});
  ops.linear({.out = step.out, .x = inner, .weight = down_.view()});
}

std::uint64_t MlpBlock::size_bytes() const {
  return gate_.size_bytes() + up_.size_bytes() + down_.size_bytes();
}

Result<MoeBlock> MoeBlock::load(WeightLoader& loader, Ops& ops, const std::string& prefix,
                                const ModelConfig& config) {
  const MoeDims& moe = config.moe;
  MoeBlock block;
  block.config_ = &config;
  block.router_ = GLM_TRY(loader.weight(prefix + ".gate", {moe.experts, config.hidden_size}));
  const std::vector<float> bias =
      GLM_TRY(loader.floats(prefix + ".gate.e_score_correction_bias", {moe.experts}));
  // f32 to the end: the values are large and nearly equal, and bf16 would merge most of them.
  block.bias_ = GLM_TRY(DeviceArray::allocate(ops, Dtype::f32, moe.experts));
  ops.upload(block.bias_.view({moe.experts}).data, std::as_bytes(std::span(bias)));
  GLM_TRY(ops.sync());
  GLM_TRY(block.load_experts(loader, prefix + ".experts"));
  if (moe.shared_experts > 0) {
    block.shared_ = GLM_TRY(MlpBlock::load(loader, prefix + ".shared_experts", config,
                                           moe.shared_experts * moe.intermediate_size));
  }
  return block;
}

Status MoeBlock::load_experts(WeightLoader& loader, const std::string& prefix) {
  const MoeDims& moe = config_->moe;
  const WeightShape wide{moe.intermediate_size, config_->hidden_size};
  const WeightShape narrow{config_->hidden_size, moe.intermediate_size};
  for (const char* suffix : {"", ".weight"}) {
    const std::string gate_up = prefix + ".gate_up_proj" + suffix;
    if (!loader.has(gate_up)) continue;
    WeightLoader::Fused fused{.tensor = gate_up,
                              .experts = moe.experts,
                              .fused_rows = 2 * moe.intermediate_size,
                              .first_row = 0,
                              .shape = wide};
    gate_ = GLM_TRY(loader.fused_experts(fused));
    fused.first_row = moe.intermediate_size;
    up_ = GLM_TRY(loader.fused_experts(fused));
    down_ = GLM_TRY(loader.fused_experts({.tensor = prefix + ".down_proj" + suffix,
                                          .experts = moe.experts,
                                          .fused_rows = config_->hidden_size,
                                          .first_row = 0,
                                          .shape = narrow}));
    return Ok{};
  }
  const auto weight = [&](const char* name, WeightShape shape) {
    return loader.experts(prefix, name, moe.experts, shape);
  };
  gate_ = GLM_TRY(weight("gate_proj", wide));
  up_ = GLM_TRY(weight("up_proj", wide));
  down_ = GLM_TRY(weight("down_proj", narrow));
  return Ok{};
}

void MoeBlock::forward(Ops& ops, MlpScratch& scratch, const MlpStep& step) const {
  const MoeDims& moe = config_->moe;
  const TensorView x = step.front.norm.out;
  const std::int64_t tokens = x.size(0);
  kernels::MoeLayer layer{.out = step.out,
                          .x = x,
                          .front = step.front,
                          .router = router_.view(),
                          .bias = bias_.view({moe.experts}),
                          .groups = moe.groups,
                          .groups_kept = moe.groups_kept,
                          .weighting = moe.normalize_weights ? kernels::RouterWeights::normalized
                                                             : kernels::RouterWeights::as_scored,
                          .scale = moe.routed_scale,
                          .gate = gate_.experts(),
                          .up = up_.experts(),
                          .down = down_.experts(),
                          .logits = scratch.router_logits_.view({tokens, moe.experts}),
                          .ids = scratch.expert_ids_.view({tokens, moe.experts_per_token}),
                          .weights = scratch.expert_weights_.view({tokens, moe.experts_per_token})};
  if (moe.shared_experts > 0) {
    layer.shared = {.gate = shared_.gate_.view(),
                    .up = shared_.up_.view(),
                    .down = shared_.down_.view(),
                    .inner = scratch.inner_.view({tokens, shared_.inner_}),
                    .out = scratch.shared_out_.view({tokens, config_->hidden_size})};
  }
  ops.moe_layer(layer);
}

std::uint64_t MoeBlock::size_bytes() const {
  return router_.size_bytes() + bias_.size_bytes() + gate_.size_bytes() + up_.size_bytes() +
         down_.size_bytes() + shared_.size_bytes();
}

}  // namespace glm::runner
