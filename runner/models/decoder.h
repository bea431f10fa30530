// What the architectures share: a decoder of pre-norm layers, the first ones with a plain MLP, the
// others with a mixture of experts. An architecture brings its attention (attention.h) and the
// facts of its config.
//
//   x = embed(token)
//   each layer:  x += Attention(norm(x));  x += (dense ? Mlp : Moe)(norm(x))
//   logits = lm_head . norm(x)
//
// x is the residual stream; every "+=" happens inside the norm that follows it.
//
// Tensors (h hidden, E experts, I moe_intermediate, S shared experts; L all layers, D the dense
// ones, M the others)
//
//   model.embed_tokens.weight, lm_head.weight                      [vocab, h]; one if tied
//   model.norm.weight                                              [h]
//   L  input_layernorm.weight, post_attention_layernorm.weight     [h]
//   L  self_attn.*                                                 of the architecture
//   D  mlp.{gate,up}_proj                [intermediate, h]  mlp.down_proj  [h, intermediate]
//   M  mlp.gate                          [E, h]             .e_score_correction_bias  [E], f32
//   M  mlp.experts.<e>.{gate,up}_proj    [I, h]             .down_proj     [h, I]
//   M  mlp.shared_experts.{gate,up}_proj [S*I, h]           .down_proj     [h, S*I]
//
// Layers behind the last are multi-token prediction: recognised, not loaded yet.
#pragma once

#include <memory>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/models/attention.h"
#include "runner/models/registry.h"

namespace glm::runner {

Result<std::unique_ptr<Model>> load_decoder(const Checkpoint& checkpoint, ModelFacts facts,
                                            std::unique_ptr<kernels::Ops> ops,
                                            std::unique_ptr<Attention> attention,
                                            const LoadOptions& options);

}  // namespace glm::runner
