// glm4_moe: GLM-4.5, GLM-4.5-Air, GLM-4.6, GLM-4.7.
//
// The decoder and its mixture of experts are those of glm4_moe_lite; the attention is grouped-query
// attention (gqa_block.h) and has nothing in common with the latent attention there. What is
// peculiar about it:
//
//   - The heads together are wider than the hidden state (96 * 128 against 5120), so head_dim never
//     follows from hidden_size.
//   - Half of each head is rotated, in half-split pairs (j, j + 32) of elements 0..63; elements
//     64..127 pass through. The dense glm4 models rotate the same half in adjacent pairs.
//   - partial_rotary_factor is 0.5 where the config leaves it out.
//   - q, k and v have biases, o has none. 4.5-Air has no norms on queries and keys, the large ones
//     have: one weight of head_dim for all heads, applied after the bias and before rotation, with
//     rms_norm_eps.
//   - The attention scale is head_dim^-1/2.
//   - Routing as in glm4_moe_lite; routed_scaling_factor is 2.5 in the large models and 1 in Air.
//   - post_attention_layernorm is the norm before the MLP; the attention's output has none.
//   - Layer `layers` (46 or 92) is the multi-token prediction layer. GLM-4.6 keeps no tables of its
//     own in it.
//
// Tensors of its own (h hidden, H heads, G kv heads, d head_dim), in every layer; the others are in
// decoder.h:
//
//   self_attn.q_proj               [H*d, h]    .bias  [H*d]   where attention_bias
//   self_attn.k_proj, v_proj       [G*d, h]    .bias  [G*d]   where attention_bias
//   self_attn.q_norm, k_norm       .weight     [d]            where use_qk_norm
//   self_attn.o_proj               [h, H*d]
#include "runner/models/glm4_moe.h"

#include "runner/models/decoder.h"
#include "runner/models/gqa_block.h"

namespace glm::runner {

Result<std::unique_ptr<Model>> load_glm4_moe(const Checkpoint& checkpoint, ModelFacts facts,
                                             std::unique_ptr<kernels::Ops> ops,
                                             const LoadOptions& options) {
  return load_decoder(checkpoint, std::move(facts), std::move(ops), std::make_unique<GqaLayers>(),
                      options);
}

}  // namespace glm::runner
