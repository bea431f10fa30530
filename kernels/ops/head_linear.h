// out[t, h, o] = sum over i of x[t, h, i] * weight[h * outputs + o, i]
//
// One small linear layer per attention head: the absorption of W_UK into the query and of W_UV into
// the output of multi-head latent attention.
//
//   x       [tokens, heads, inputs]   f32 (cpu), bf16 (cuda)
//                                                   last axis contiguous, other strides free
//   weight  heads*outputs x inputs    any weight format
//   out     [tokens, heads, outputs]  dtype of x    last axis contiguous; must not overlap x
//
// Bounds and numerics as linear.h.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

struct HeadLinear {
  TensorView out;
  ConstTensorView x;
  WeightView weight;
};

inline void check(const HeadLinear& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim inputs("inputs", a.weight.layout.cols);
  Dim outputs("outputs");
  check(a.weight);
  match(a.x, "x").shape({&tokens, &heads, &inputs}).dtype({Dtype::f32, Dtype::bf16});
  match(a.x, "x").rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &outputs}).dtype({a.x.dtype}).rows_contiguous();
  GLM_CHECK(heads.value() * outputs.value() == a.weight.layout.rows);
}

}  // namespace glm::kernels
