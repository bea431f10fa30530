#include "kernels/in_parts.h"

namespace glm::kernels {

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

void in_parts(Ops& ops, const NormedLinear& a) {
  ops.rms_norm(a.norm);
  ops.linear(a.linear());
}

}  // namespace glm::kernels
