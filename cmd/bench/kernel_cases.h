// The operations of a step of GLM-4.7-Flash, in its dimensions, weights as in
// cyankiwi/GLM-4.7-Flash-AWQ-4bit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cmd/bench/kernel_memory.h"

namespace glm::bench {

// One operation on memory of its own.
struct KernelCase {
  double bytes = 0;  // read and written at least
  double flops = 0;
  std::function<void()> enqueue;
};

struct KernelRow {
  std::string name;               // "linear int4 2048->768"
  std::int64_t bytes_of_one = 0;  // of weights and cache: so many fresh ones make a cache forget
  std::int64_t tokens_min = 1;
  std::int64_t tokens_max = 1 << 20;
  // Every call takes fresh weights.
  std::function<KernelCase(KernelMemory&, kernels::Ops&, std::int64_t tokens)> make;
};

std::vector<KernelRow> kernel_rows();

// What Ops::reserve() must be told for steps of up to so many tokens.
kernels::WorkspaceBounds kernel_bounds(std::int64_t tokens);

}  // namespace glm::bench
