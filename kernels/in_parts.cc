#include "kernels/in_parts.h"

namespace glm::kernels {

void in_parts(Ops& ops, const GqaRows& a) {
  const auto norm = [&](const TensorView& all_heads, const ConstTensorView& by) {
    for (std::int64_t i = 0; by && i < a.norms(all_heads); ++i) {
      ops.rms_norm(a.norm_of(all_heads, i, by));
    }
  };
  norm(a.queries(), a.q_norm);
  norm(a.keys(), a.k_norm);
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

void begin_in_parts(Ops& ops, const MoeLayer& a) {
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
}

void in_parts(Ops& ops, const MoeLayer& a) {
  begin_in_parts(ops, a);
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
