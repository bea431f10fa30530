// out[r, c] = weight[c] * x[r, c] * rsqrt(mean(x[r, :]^2) + eps)
//
// With a residual, first sum[r, :] = residual[r, :] + x[r, :], and the sum is what is normalised:
// the two steps between any two blocks of a transformer.
//
//   x         [rows, dim]  f32 | bf16   columns contiguous, any row stride
//   residual  [rows, dim]  dtype of x   optional
//   sum       [rows, dim]  dtype of x   with a residual; rounded to its dtype; may be the residual
//                                       itself, must not overlap otherwise
//   weight    [dim]        dtype of x   contiguous
//   out       [rows, dim]  dtype of x   may be x itself; must not overlap otherwise
//
// Bounds   rows >= 0 (0 does nothing), dim >= 1.
// Numerics sums in f32 or better. In bf16 the normalised value is rounded before it is multiplied
// by
//          the weight, as the reference library does. Against f64: relative 1e-5 (f32), 1 ulp
//          (bf16). The result for a row does not depend on how many rows there are.
// Cost     2 * rows * dim + dim elements of traffic (4 * with a residual); bandwidth-bound.
#pragma once

#include "base/check.h"
#include "kernels/match.h"

namespace glm::kernels {

struct RmsNorm {
  TensorView out;
  ConstTensorView x;
  ConstTensorView weight;
  ConstTensorView residual = {};
  TensorView sum = {};
  float eps = 0;
};

inline void check(const RmsNorm& a) {
  Dim rows("rows");
  Dim dim("dim");
  match(a.x, "x").shape({&rows, &dim}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
  match(a.weight, "weight").shape({&dim}).dtype({a.x.dtype}).contiguous();
  match(a.out, "out").shape({&rows, &dim}).dtype({a.x.dtype}).rows_contiguous();
  if (a.residual) {
    match(a.residual, "residual").shape({&rows, &dim}).dtype({a.x.dtype}).rows_contiguous();
    match(a.sum, "sum").shape({&rows, &dim}).dtype({a.x.dtype}).rows_contiguous();
  }
  GLM_CHECK(dim.value() >= 1 && a.eps >= 0);
}

}  // namespace glm::kernels
