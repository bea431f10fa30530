// The operation moe_layer as a sequence of others: what a backend does that has nothing better, and
// whoever wants to look at the choice of experts in between.
#pragma once

#include "kernels/ops.h"

namespace glm::kernels {

void moe_in_pieces(Ops& ops, const MoeLayer& a);

}  // namespace glm::kernels
