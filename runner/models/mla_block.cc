#include "runner/models/mla_block.h"

#include <algorithm>
#include <cmath>

namespace glm::runner {
namespace {

using kernels::ConstTensorView;
using kernels::Ops;
using kernels::TensorView;

// Expanded keys and values beyond this are not worth their memory; it is set aside at load.
constexpr std::int64_t kExpandedMaxElements = 1LL << 27;

}  // namespace

MlaForm cheaper_mla_form(const MlaDims& dims, const MlaWork& work) {
  const std::int64_t unfold = (dims.nope_dim + dims.v_dim) * dims.kv_rank;  // of one token and head
  const std::int64_t pairs =
      work.tokens * (work.positions - work.tokens) + work.tokens * (work.tokens + 1) / 2;
  const std::int64_t absorbed = work.tokens * unfold + pairs * (dims.cache_dim() + dims.kv_rank);
  const std::int64_t expanded = work.positions * unfold + pairs * (dims.qk_dim() + dims.v_dim);
  return expanded < absorbed ? MlaForm::expanded : MlaForm::absorbed;
}

Result<MlaScratch> MlaScratch::allocate(Ops& ops, const ModelConfig& config,
                                        const AttentionLimits& limits) {
  const MlaDims& dims = config.mla;
  const std::int64_t tokens_max = limits.tokens_max;
  const std::int64_t per_head = tokens_max * config.heads;
  const auto room = [&](std::int64_t capacity) {
    return DeviceArray::allocate(ops, ops.activation_dtype(), capacity);
  };
  MlaScratch scratch;
  scratch.down_ = GLM_TRY(room(tokens_max * (dims.q_rank + dims.cache_dim())));
  scratch.q_ = GLM_TRY(room(per_head * dims.qk_dim()));
  scratch.q_absorbed_ = GLM_TRY(room(per_head * dims.cache_dim()));
  scratch.u_ = GLM_TRY(room(per_head * dims.kv_rank));
  scratch.heads_out_ = GLM_TRY(room(per_head * dims.v_dim));
  const std::int64_t position = config.heads * (dims.nope_dim + dims.v_dim);
  const std::int64_t positions = std::min(limits.positions_max, kExpandedMaxElements / position);
  // Without the memory for one form there is still the other.
  const Status expanded = scratch.allocate_expanded(ops, config, positions);
  if (!expanded.ok() && expanded.error().code != Errc::exhausted) return expanded.error();
  scratch.expanded_positions_max_ = expanded.ok() ? positions : 0;
  return scratch;
}

Status MlaScratch::allocate_expanded(Ops& ops, const ModelConfig& config, std::int64_t positions) {
  const MlaDims& dims = config.mla;
  const auto room = [&](std::int64_t width) {
    return DeviceArray::allocate(ops, ops.activation_dtype(), positions * width);
  };
  DeviceArray rows = GLM_TRY(room(dims.cache_dim()));
  kv_ = GLM_TRY(room(config.heads * (dims.nope_dim + dims.v_dim)));
  rows_ = std::move(rows);  // both or none
  return Ok{};
}

Result<MlaBlock> MlaBlock::load(WeightLoader& loader, Ops& ops, const std::string& prefix,
                                const ModelConfig& config, float latent_norm_eps) {
  const MlaDims& dims = config.mla;
  const auto weight = [&](const char* name, WeightShape shape) {
    return loader.weight(prefix + name, shape);
  };
  const auto vector = [&](const char* name, std::int64_t size) {
    return load_vector(loader, ops, prefix + name, size);
  };
  MlaBlock block;
  block.config_ = &config;
  block.latent_norm_eps_ = latent_norm_eps;
  block.down_ = GLM_TRY(loader.stacked(
      {{prefix + ".q_a_proj", dims.q_rank}, {prefix + ".kv_a_proj_with_mqa", dims.cache_dim()}},
      config.hidden_size));
  block.q_a_norm_ = GLM_TRY(vector(".q_a_layernorm.weight", dims.q_rank));
  block.q_b_ = GLM_TRY(weight(".q_b_proj", {config.heads * dims.qk_dim(), dims.q_rank}));
  block.kv_a_norm_ = GLM_TRY(vector(".kv_a_layernorm.weight", dims.kv_rank));
  block.kv_b_ =
      GLM_TRY(weight(".kv_b_proj", {config.heads * (dims.nope_dim + dims.v_dim), dims.kv_rank}));
  block.o_ = GLM_TRY(weight(".o_proj", {config.hidden_size, config.heads * dims.v_dim}));
  return block;
}

float MlaBlock::scale() const {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_->mla.qk_dim())));
}

kernels::Linear MlaBlock::forward(Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                                  MlaForm form) const {
  const MlaDims& dims = config_->mla;
  const std::int64_t heads = config_->heads;
  const std::int64_t tokens = step.norm.x.size(0);
  const TensorView down = scratch.down_.view({tokens, dims.q_rank + dims.cache_dim()});
  const TensorView cq = down.slice(1, 0, dims.q_rank);
  const TensorView ckv = down.slice(1, dims.q_rank, dims.cache_dim());
  if (down_.size() == 1 || down_[0].layout().format == down_[1].layout().format) {
    ops.normed_linear({.out = down,
                       .norm = step.norm,
                       .weight = down_[0].view(),
                       .rest = down_.size() == 1 ? kernels::WeightView{} : down_[1].view()});
  } else {
    ops.rms_norm(step.norm);
    ops.linear({.out = cq, .x = step.norm.out, .weight = down_[0].view()});
    ops.linear({.out = ckv, .x = step.norm.out, .weight = down_[1].view()});
  }
  const kernels::MlaLatents latents{.q = scratch.q_.view({tokens, heads * dims.qk_dim()}),
                                    .query = cq,
                                    .row = ckv,
                                    .q_norm = q_a_norm_.view({dims.q_rank}),
                                    .kv_norm = kv_a_norm_.view({dims.kv_rank}),
                                    .eps = latent_norm_eps_,
                                    .q_b = q_b_.view(),
                                    .inv_freq = step.inv_freq,
                                    .pairs = rope_pairs(),
                                    .rows = step.rows,
                                    .tokens = step.tokens};
  const TensorView out = scratch.heads_out_.view({tokens, heads, dims.v_dim});
  const bool single =
      std::ranges::all_of(step.stretches, [](const Stretch& s) { return s.tokens == 1; });
  if (single && form != MlaForm::expanded) {
    ops.mla_decode({.out = out,
                    .latents = latents,
                    .kv_b = kv_b_.view(),
                    .absorbed = scratch.q_absorbed_.view({tokens, heads, dims.cache_dim()}),
                    .mixed = scratch.u_.view({tokens, heads, dims.kv_rank}),
                    .scale = scale()});
  } else {
    ops.mla_latents(latents);
    attend(ops, scratch, step, form);
  }
  return {.out = step.out,
          .x = scratch.heads_out_.view({tokens, heads * dims.v_dim}),
          .weight = o_.view()};
}

void MlaBlock::attend(Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                      MlaForm form) const {
  const MlaDims& dims = config_->mla;
  const auto is_expanded = [&](const Stretch& stretch) {
    if (stretch.one_by_one || stretch.positions > scratch.expanded_positions_max_) return false;
    // Single tokens have one form, whatever their position: their steps are recorded.
    if (stretch.tokens == 1 && form == MlaForm::automatic) return false;
    const MlaWork work{.tokens = stretch.tokens, .positions = stretch.positions};
    return (form == MlaForm::automatic ? cheaper_mla_form(dims, work) : form) == MlaForm::expanded;
  };
  // Absorbed stretches next to each other run as one.
  Range absorbed;
  const auto flush = [&] {
    if (absorbed.count > 0) attend_absorbed(ops, scratch, step, absorbed);
  };
  for (const Stretch& stretch : step.stretches) {
    if (is_expanded(stretch)) {
      flush();
      attend_expanded(ops, scratch, step, stretch);
      absorbed = {.first = stretch.first_token + stretch.tokens, .count = 0};
    } else {
      absorbed.count += stretch.tokens;
    }
  }
  flush();
}

kernels::RopePairs MlaBlock::rope_pairs() const {
  return config_->rope_interleaved ? kernels::RopePairs::interleaved
                                   : kernels::RopePairs::half_split;
}

void MlaBlock::attend_absorbed(Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                               const Range& range) const {
  const MlaDims& dims = config_->mla;
  const std::int64_t heads = config_->heads;
  const std::int64_t tokens = step.norm.x.size(0);
  const auto mine = [&](const DeviceArray& array, std::int64_t width) {
    return array.view({tokens, heads, width}).slice(0, range.first, range.count);
  };
  const TensorView q = mine(scratch.q_, dims.qk_dim());
  const TensorView q_absorbed = mine(scratch.q_absorbed_, dims.cache_dim());
  const TensorView u = mine(scratch.u_, dims.kv_rank);
  ops.mla_queries({.out = q_absorbed,
                   .q = q,
                   .weight = kv_b_.view(),
                   .head_rows = dims.nope_dim + dims.v_dim,
                   .positions = step.tokens.position.slice(0, range.first, range.count),
                   .inv_freq = step.inv_freq,
                   .pairs = rope_pairs()});
  ops.mla_absorbed({.out = u,
                    .q = q_absorbed,
                    .rows = step.rows,
                    .tokens = {.sequence = step.tokens.sequence.slice(0, range.first, range.count),
                               .position = step.tokens.position.slice(0, range.first, range.count),
                               .positions_max = step.tokens.positions_max},
                    .scale = scale()});
  ops.head_linear({.out = mine(scratch.heads_out_, dims.v_dim),
                   .x = u,
                   .weight = kv_b_.view(),
                   .head_rows = dims.nope_dim + dims.v_dim,
                   .first_row = dims.nope_dim});
}

void MlaBlock::attend_expanded(Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                               const Stretch& stretch) const {
  const MlaDims& dims = config_->mla;
  const std::int64_t heads = config_->heads;
  const std::int64_t tokens = step.norm.x.size(0);
  const std::int64_t positions = stretch.positions;
  const Range range{.first = stretch.first_token, .count = stretch.tokens};
  const TensorView q =
      scratch.q_.view({tokens, heads, dims.qk_dim()}).slice(0, range.first, range.count);
  const TensorView q_rope = q.slice(2, dims.nope_dim, dims.rope_dim);
  ops.rope({.out = q_rope,
            .x = q_rope,
            .positions = step.tokens.position.slice(0, range.first, range.count),
            .inv_freq = step.inv_freq,
            .pairs = rope_pairs()});
  const TensorView rows = scratch.rows_.view({positions, dims.cache_dim()});
  ops.gather_rows({.out = rows, .rows = step.rows, .sequence = stretch.sequence});
  const ConstTensorView latents = rows.slice(1, 0, dims.kv_rank);
  const std::int64_t width = dims.nope_dim + dims.v_dim;
  ops.linear(
      {.out = scratch.kv_.view({positions, heads * width}), .x = latents, .weight = kv_b_.view()});
  const TensorView kv = scratch.kv_.view({positions, heads, width});
  ops.mla_expanded(
      {.out =
           scratch.heads_out_.view({tokens, heads, dims.v_dim}).slice(0, range.first, range.count),
       .q = q,
       .k = kv.slice(2, 0, dims.nope_dim),
       .k_rope = rows.slice(1, dims.kv_rank, dims.rope_dim),
       .v = kv.slice(2, dims.nope_dim, dims.v_dim),
       .scale = scale()});
}

std::uint64_t MlaBlock::size_bytes() const {
  std::uint64_t sum = q_a_norm_.size_bytes() + q_b_.size_bytes() + kv_a_norm_.size_bytes() +
                      kv_b_.size_bytes() + o_.size_bytes();
  for (const DeviceWeight& weight : down_) sum += weight.size_bytes();
  return sum;
}

Status MlaLayers::load_layer(WeightLoader& loader, Ops& ops, const std::string& prefix,
                             const ModelConfig& config) {
  layers_.push_back(GLM_TRY(MlaBlock::load(loader, ops, prefix, config, latent_norm_eps_)));
  return Ok{};
}

Status MlaLayers::allocate_activations(Ops& ops, const ModelConfig& config,
                                       const AttentionLimits& limits) {
  scratch_ = GLM_TRY(MlaScratch::allocate(ops, config, limits));
  return Ok{};
}

kernels::Linear MlaLayers::forward(Ops& ops, std::size_t layer, const AttentionStep& step) {
  return layers_[layer].forward(ops, scratch_, step, form_);
}

std::uint64_t MlaLayers::size_bytes() const {
  std::uint64_t sum = 0;
  for (const MlaBlock& layer : layers_) sum += layer.size_bytes();
  return sum;
}

}  // namespace glm::runner
