// out[r, c] += x[r, c]
//
//   out, x  [rows, dim]  f32 | bf16   columns contiguous
#pragma once

#include "kernels/match.h"

namespace glm::kernels {

struct Add {
  TensorView out;
  ConstTensorView x;
};

inline void check(const Add& a) {
  Dim rows("rows");
  Dim dim("dim");
  match(a.x, "x").shape({&rows, &dim}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
  match(a.out, "out").shape({&rows, &dim}).dtype({a.x.dtype}).rows_contiguous();
}

}  // namespace glm::kernels
