// out[t, o] = g / (1 + exp(-g)) * u,  g = sum over i of x[t, i] * gate[o, i],  u the same with up
//
//   x         [tokens, inputs]   f32 (cpu), bf16 (cuda)   columns contiguous, any row stride
//   gate, up  outputs x inputs   any weight format, each its own
//   out       [tokens, outputs]  dtype of x               must not overlap x
//
// Bounds   tokens >= 0, outputs >= 0, inputs >= 1.
// Numerics g and u as in linear.h, and f32 from there on. The result of a token does not depend on
//          how many tokens there are, on cuda only within a variant, or a form of one.
// Cost     the bytes of both weights once; 4 * tokens * outputs * inputs FLOP.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

struct GatedLinear {
  TensorView out;
  ConstTensorView x;
  WeightView gate;
  WeightView up;
};

inline void check(const GatedLinear& a) {
  Dim tokens("tokens");
  Dim inputs("inputs", a.gate.layout.cols);
  Dim outputs("outputs", a.gate.layout.rows);
  check(a.gate);
  check(a.up);
  match(a.x, "x").shape({&tokens, &inputs}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &outputs}).dtype({a.x.dtype}).rows_contiguous();
  GLM_CHECK(a.up.layout.rows == outputs.value() && a.up.layout.cols == inputs.value());
  GLM_CHECK(inputs.value() >= 1);
}

}  // namespace glm::kernels
