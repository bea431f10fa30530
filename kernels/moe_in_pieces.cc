#include "kernels/moe_in_pieces.h"

namespace glm::kernels {

void moe_in_pieces(Ops& ops, const MoeLayer& a) {
  if (a.shared) {
    ops.beside([&] {
      ops.gated_linear(
          {.out = a.shared.inner, .x = a.x, .gate = a.shared.gate, .up = a.shared.up});
      ops.linear({.out = a.shared.out, .x = a.shared.inner, .weight = a.shared.down});
    });
  }
  ops.linear({.out = a.logits, .x = a.x, .weight = a.router});
  ops.router_topk(a.choice());
  ops.moe_mlp(a.experts());
}

}  // namespace glm::kernels
