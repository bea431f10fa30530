// out[t, :] = table[ids[t], :]
//
//   out    [tokens, dim]  f32 (cpu), bf16 (cuda)   columns contiguous, any row stride
//   ids    [tokens]       i32                      contiguous, each in [0, table rows)
//   table  rows x dim     any weight format        no padding between rows
//
// Bounds   tokens >= 0 (0 does nothing).
// Numerics exact, then one rounding to the dtype of out.
#pragma once

#include "kernels/match.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

struct Embedding {
  TensorView out;
  ConstTensorView ids;
  WeightView table;
};

inline void check(const Embedding& a) {
  Dim tokens("tokens");
  Dim dim("dim", a.table.layout.cols);
  check(a.table);
  match(a.ids, "ids").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  match(a.out, "out").shape({&tokens, &dim}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
}

}  // namespace glm::kernels
