// The part of linear.h that everything with a weight shares: some outputs of some tokens, on the
// calling thread.
#pragma once

#include <cstdint>

#include "kernels/weight_format.h"

namespace glm::kernels::cpu {

struct RowsLinear {
  WeightView weight;
  std::int64_t first_row = 0;  // outputs [first_row, end_row) of the weight
  std::int64_t end_row = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t tokens = 0;
  float* out = nullptr;  // out[t * out_stride + row]
  std::int64_t out_stride = 0;
};
void rows_linear(const RowsLinear& a);

// Memory that lives as long as the thread, at least `count` floats, contents undefined. `slot`
// separates users that are active at the same time.
enum class Scratch { weight_rows, scores, gathered, expert_out, page_rows, up, count };
float* scratch(Scratch slot, std::int64_t count);

}  // namespace glm::kernels::cpu
