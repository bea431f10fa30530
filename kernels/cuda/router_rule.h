// How experts are chosen, as device code takes it: kernels/ops/router_topk.h without the tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops/router_topk.h"

namespace glm::kernels::cuda {

struct RouterRule {
  const float* bias = nullptr;  // may be null
  std::int32_t experts = 0;
  std::int32_t chosen = 0;
  std::int32_t groups = 1;
  std::int32_t groups_kept = 1;
  float scale = 1;
  bool normalized = false;

  // Shared memory of one choice.
  std::size_t scratch_bytes() const {
    return static_cast<std::size_t>(3 * experts + groups) * sizeof(float);
  }
};

inline RouterRule router_rule(const RouterTopK& a) {
  return {.bias = a.bias.as<float>(),
          .experts = static_cast<std::int32_t>(a.logits.size(1)),
          .chosen = static_cast<std::int32_t>(a.ids.size(1)),
          .groups = static_cast<std::int32_t>(a.groups),
          .groups_kept = static_cast<std::int32_t>(a.groups_kept),
          .scale = a.scale,
          .normalized = a.weighting == RouterWeights::normalized};
}

}  // namespace glm::kernels::cuda
