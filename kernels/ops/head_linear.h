// One small linear layer per attention head, all in one weight: the absorption of W_UK into the
// query and of W_UV into the output of multi-head latent attention, both cut from kv_b as it is
// stored.
//
//   W_h = rows [h * head_rows + first_row, ... + rows of W_h) of the weight
//   as stored    out[t, h, o] = sum over i of x[t, h, i] * W_h[o, i]
//   transposed   out[t, h, o] = sum over i of x[t, h, i] * W_h[i, o]
//
//   x       [tokens, heads, inputs]   f32 (cpu), bf16 (cuda)
//                                                   last axis contiguous, other strides free
//   weight  heads*head_rows x inputs, transposed x outputs; any weight format
//   out     [tokens, heads, outputs]  dtype of x    last axis contiguous; must not overlap x
//
// Bounds and numerics as linear.h; transposed on the CPU, sums run in the order of the rows: error
// <= inputs * 2^-24 * sum |x| |w|.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

enum class HeadOrder { as_stored, transposed };

struct HeadLinear {
  TensorView out;
  ConstTensorView x;
  WeightView weight;
  std::int64_t head_rows = 0;  // of the weight, from head to head
  std::int64_t first_row = 0;  // of W_h among those of its head
  HeadOrder order = HeadOrder::as_stored;

  std::int64_t rows() const { return order == HeadOrder::as_stored ? out.size(2) : x.size(2); }
  // The rows of one head.
  WeightView of_head(std::int64_t head) const {
    return weight.row_slice(head * head_rows + first_row, rows());
  }
};

inline void check(const HeadLinear& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim inputs("inputs");
  Dim outputs("outputs");
  check(a.weight);
  match(a.x, "x").shape({&tokens, &heads, &inputs}).dtype({Dtype::f32, Dtype::bf16});
  match(a.x, "x").rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &outputs}).dtype({a.x.dtype}).rows_contiguous();
  const bool as_stored = a.order == HeadOrder::as_stored;
  GLM_CHECK((as_stored ? inputs : outputs).value() == a.weight.layout.cols);
  GLM_CHECK(inputs.value() >= 1);
  GLM_CHECK(a.first_row >= 0 && a.first_row + a.rows() <= a.head_rows);
  GLM_CHECK(heads.value() * a.head_rows == a.weight.layout.rows);
}

}  // namespace glm::kernels
