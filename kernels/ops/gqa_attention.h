// Grouped-query attention over a cache: every heads / kv_heads query heads in a row share one head
// of keys and values. Token t sits at position first + t, where first = positions - tokens, and
// sees positions 0 .. first + t.
//
//     g = h / (heads / kv_heads)
//     s_j    = scale * (q[t, h, :] . k[j, g, :])
//     out[t, h, :] = sum_j softmax(s)_j * v[j, g, :]
//
//   q    [tokens, heads, dim]          f32 (cpu)   rotated
//   k    [positions, kv_heads, dim]    dtype of q  rotated
//   v    [positions, kv_heads, v_dim]  dtype of q
//   out  [tokens, heads, v_dim]        dtype of q
//
// All: last axis contiguous, other strides free; out overlaps nothing.
// Bounds   positions >= tokens >= 0; kv_heads divides heads; scale > 0.
// Numerics softmax in f32 with the sum in f64; against f64: absolute 1e-5 for values of size one.
//          A token's result does not depend on the tokens after it, nor on how many run with it.
// Cost     keys and values of the visible positions, once per kv head and token.
#pragma once

#include "base/check.h"
#include "kernels/match.h"

namespace glm::kernels {

struct GqaAttention {
  TensorView out;
  ConstTensorView q;
  ConstTensorView k;
  ConstTensorView v;
  float scale = 0;
};

inline void check(const GqaAttention& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim dim("dim");
  Dim positions("positions");
  Dim kv_heads("kv_heads");
  Dim v_dim("v_dim");
  match(a.q, "q").shape({&tokens, &heads, &dim}).dtype({Dtype::f32, Dtype::bf16});
  match(a.q, "q").rows_contiguous();
  match(a.k, "k").shape({&positions, &kv_heads, &dim}).dtype({a.q.dtype}).rows_contiguous();
  match(a.v, "v").shape({&positions, &kv_heads, &v_dim}).dtype({a.q.dtype}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &v_dim}).dtype({a.q.dtype}).rows_contiguous();
  GLM_CHECK(positions.value() >= tokens.value());
  GLM_CHECK(kv_heads.value() >= 1 && heads.value() % kv_heads.value() == 0);
  GLM_CHECK(a.scale > 0);
}

}  // namespace glm::kernels
