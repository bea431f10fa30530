// Operations that stand for several others, as those: what a backend does that has nothing better,
// and what one that has is held against.
#pragma once

#include "kernels/ops.h"

namespace glm::kernels {

void in_parts(Ops& ops, const GqaRows& a);
void in_parts(Ops& ops, const MlaDecode& a);
void in_parts(Ops& ops, const MlaLatents& a);
void in_parts(Ops& ops, const MlaQueries& a);
void in_parts(Ops& ops, const MoeLayer& a);
// What comes in front of the router, and the shared expert beside it.
void begin_in_parts(Ops& ops, const MoeLayer& a);
void in_parts(Ops& ops, const NormedLinear& a);

}  // namespace glm::kernels
