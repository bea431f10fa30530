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
//   - Checkpoints may pack kv_b_proj as well; absorption reads it the way it is stored.
//
// Tensors of its own (h hidden, H heads), in every layer; the others are in decoder.h:
//
//   self_attn.q_a_proj                [q_rank, h]        .q_a_layernorm.weight   [q_rank]
//   self_attn.q_b_proj                [H*(nope+rope), q_rank]
//   self_attn.kv_a_proj_with_mqa      [kv_rank+rope, h]  .kv_a_layernorm.weight  [kv_rank]
//   self_attn.kv_b_proj               [H*(nope+v), kv_rank]
//   self_attn.o_proj                  [h, H*v]
#include "runner/models/glm4_moe_lite.h"

#include "runner/models/decoder.h"
#include "runner/models/mla_block.h"

namespace glm::runner {

Result<std::unique_ptr<Model>> load_glm4_moe_lite(const Checkpoint& checkpoint, ModelFacts facts,
                                                  std::unique_ptr<kernels::Ops> ops,
                                                  const LoadOptions& options) {
  if (options.latent_norm_eps) facts.latent_norm_eps = *options.latent_norm_eps;
  auto attention = std::make_unique<MlaLayers>(options.mla_form, facts.latent_norm_eps);
  return load_decoder(checkpoint, std::move(facts), std::move(ops), std::move(attention), options);
}

}  // namespace glm::runner
