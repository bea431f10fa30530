// out[t, o] = sum over i of x[t, i] * weight[o, i]   (+ bias[o])
//
//   x       [tokens, inputs]   f32 (cpu), bf16 (cuda)      columns contiguous, any row stride
//   weight  outputs x inputs   any weight format
//   bias    [outputs]          f32                         optional
//   out     [tokens, outputs]  dtype of x, or f32          must not overlap x
//
// Bounds   tokens >= 0, outputs >= 0, inputs >= 1.
// Numerics products and sums in f32 with at least sixteen independent partial sums; against f64,
//          error <= 2e-6 * sum |x| |w| for inputs <= 16384. The result of a token does not depend
//          on how many tokens there are. cuda: sums in f32, error <= 4e-6 * sum |x| |w|; tensor
//          cores round weights that are no bf16 numbers, 2^-8 * sum |x| |w| more, in e4m3, whose
//          scales are rounded before, another 2^-18 (never those of f32 with f32 results, a
//          router's). There the number of tokens may choose the variant, or
//          the form of one, and only within it does a token's result depend on nothing else.
// Cost     the weight's bytes once; 2 * tokens * outputs * inputs FLOP.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

struct Linear {
  TensorView out;
  ConstTensorView x;
  WeightView weight;
  ConstTensorView bias = {};
};

inline void check(const Linear& a) {
  Dim tokens("tokens");
  Dim inputs("inputs", a.weight.layout.cols);
  Dim outputs("outputs", a.weight.layout.rows);
  check(a.weight);
  match(a.x, "x").shape({&tokens, &inputs}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &outputs}).dtype({a.x.dtype, Dtype::f32}).rows_contiguous();
  if (a.bias) match(a.bias, "bias").shape({&outputs}).dtype({Dtype::f32}).contiguous();
  GLM_CHECK(inputs.value() >= 1);
}

}  // namespace glm::kernels
