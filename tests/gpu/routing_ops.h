// A backend with the choice of experts written down, or taken from elsewhere: two implementations
// can only be compared number by number while they choose the same experts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/ops.h"

namespace glm::fakes {

// Which experts each token takes: ids [layers, tokens, chosen], i32, the layers with a router only.
struct Routing {
  std::int64_t layers = 0;
  std::int64_t tokens = 0;
  std::int64_t chosen = 0;
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> would;  // when imposing: what the backend had chosen by itself
};

// `routing` outlives the backend; `routing.layers` and `.tokens` are set. With `impose` its ids are
// taken and weights follow from the logits as router_topk.h says; else ids are filled in. Tokens
// come in the order of one sequence, each piece of them through all layers before the next.
std::unique_ptr<kernels::Ops> with_routing(std::unique_ptr<kernels::Ops> inner, Routing& routing,
                                           bool impose);

}  // namespace glm::fakes
