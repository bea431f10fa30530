// out[r, c] = gate[r, c] / (1 + exp(-gate[r, c])) * up[r, c]
//
//   gate, up, out  [rows, dim]  f32 | bf16   columns contiguous; out may be gate or up
//
// Numerics f32 throughout; against f64: relative 1e-6.
#pragma once

#include "kernels/match.h"

namespace glm::kernels {

struct SiluMul {
  TensorView out;
  ConstTensorView gate;
  ConstTensorView up;
};

inline void check(const SiluMul& a) {
  Dim rows("rows");
  Dim dim("dim");
  match(a.gate, "gate").shape({&rows, &dim}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
  match(a.up, "up").shape({&rows, &dim}).dtype({a.gate.dtype}).rows_contiguous();
  match(a.out, "out").shape({&rows, &dim}).dtype({a.gate.dtype}).rows_contiguous();
}

}  // namespace glm::kernels
