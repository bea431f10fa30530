#include "kernels/in_parts.h"

namespace glm::kernels {

void in_parts(Ops& ops, const GqaRows& a) {
  for (std::int64_t head = 0; a.q_norm && head < a.heads; ++head) {
    ops.rms_norm(a.norm_of(a.queries(), head, a.q_norm));
  }
  for (std::int64_t head = 0; a.k_norm && head < a.kv_heads; ++head) {
    ops.rms_norm(a.norm_of(a.keys(), head, a.k_norm));
  }
  ops.rope(a.rope_of(a.queries()));
  ops.rope(a.rope_of(a.keys()));
  ops.store_rows(a.store());
}

void in_parts(Ops& ops, const MlaDecode& a) {
  ops.mla_latents(a.latents);
  ops.mla_queries(a.queries());
  ops.mla_absorbed(a.attention());
  ops.head_linear(a.values());
}

void in_parts(Ops& ops, const MlaLatents& a) {
  ops.rms_norm(a.row_norm());
  ops.rope(a.row_rope());
  ops.store_rows(a.store());
  ops.normed_linear(a.queries());
}

void in_parts(Ops& ops, const MlaQueries& a) {
  ops.rope(a.rope());
  ops.head_linear(a.absorption());
}

void in_parts(Ops& ops, const MoeLayer& a) {
  if (a.front) {
    ops.linear(a.front.projection);
    ops.rms_norm(a.front.norm);
  }
  if (a.shared) {
    ops.beside([&] {
      ops.gated_linear({.out = a.shared.inner, .x = a.x, .gate = a.shared.gate, .up = a.shared.up});
      ops.linear({.out = a.shared.out, .x = a.shared.inner, .weight = a.shared.down});
    });
  }
  ops.linear({.out = a.logits, .x = a.x, .weight = a.router});
  ops.router_topk(a.choice());
  ops.moe_mlp(a.experts());
}

void in_parts(Ops& ops, const NormedLinear& a) {
  ops.rms_norm(a.norm);
  ops.linear(a.linear());
  if (a.rest) ops.linear(a.rest_linear());
}

}  // namespace glm::kernels
