// Both halves of routed experts as products over (token, expert) pairs.
#pragma once

#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/product.h"
#include "kernels/ops/moe_mlp.h"

namespace glm::kernels::cuda {

// gate and up of every pair, then silu(gate) * up, into space.inner.
Product inner_product(const MoeMlp& a, const MoeWorkspace& space);

// down of every pair times its weight, into space.outer.
Product outer_product(const MoeMlp& a, const MoeWorkspace& space);

}  // namespace glm::kernels::cuda
