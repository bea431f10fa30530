#include "kernels/in_parts.h"

namespace glm::kernels {

void in_parts(Ops& ops, const MlaLatents& a) {
  ops.rms_norm(a.query_norm());
  ops.rms_norm(a.row_norm());
  ops.rope(a.row_rope());
  ops.store_rows(a.store());
}

void in_parts(Ops& ops, const MlaQueries& a) {
  ops.rope(a.rope());
  ops.head_linear(a.absorption());
}

}  // namespace glm::kernels
