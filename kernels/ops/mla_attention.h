// Multi-head latent attention over a cache, in its two equivalent forms. Token t sits at position
// first + t, where first = positions - tokens, and sees positions 0 .. first + t.
//
// Absorbed, for decoding: all heads share one key per position, the cache row itself (latent, then
// rotated key), and the value is the latent part of that row.
//     s_j    = scale * (q[t, h, :] . cache[j, :])
//     out[t, h, :] = sum_j softmax(s)_j * cache[j, 0 .. latent)
//
//   q      [tokens, heads, latent + rope]   f32 (cpu)   W_UK already applied to the first part
//   cache  [positions, latent + rope]       f32 (cpu)
//   out    [tokens, heads, latent]                      W_UV is still to be applied
//
// Expanded, for prompts: keys and values of each head have been computed from the latents.
//     s_j    = scale * (q[t, h, 0 .. nope) . k[j, h, :] + q[t, h, nope ..) . k_rope[j, :])
//     out[t, h, :] = sum_j softmax(s)_j * v[j, h, :]
//
//   q      [tokens, heads, nope + rope]
//   k      [positions, heads, nope]
//   k_rope [positions, rope]                one for all heads
//   v      [positions, heads, v_dim]
//   out    [tokens, heads, v_dim]
//
// All: last axis contiguous, other strides free; out overlaps nothing.
// Bounds   positions >= tokens.
// Numerics softmax in f32 with the sum in f64; against f64: absolute 1e-5 for values of size one.
//          A token's result does not depend on the tokens after it.
#pragma once

#include "base/check.h"
#include "kernels/match.h"

namespace glm::kernels {

struct MlaAbsorbed {
  TensorView out;
  ConstTensorView q;
  ConstTensorView cache;
  float scale = 0;
};

struct MlaExpanded {
  TensorView out;
  ConstTensorView q;
  ConstTensorView k;
  ConstTensorView k_rope;
  ConstTensorView v;
  float scale = 0;
};

inline void check(const MlaAbsorbed& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim width("latent + rope");
  Dim positions("positions");
  Dim latent("latent");
  match(a.q, "q").shape({&tokens, &heads, &width}).dtype({Dtype::f32, Dtype::bf16});
  match(a.q, "q").rows_contiguous();
  match(a.cache, "cache").shape({&positions, &width}).dtype({a.q.dtype}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &latent}).dtype({a.q.dtype}).rows_contiguous();
  GLM_CHECK(positions.value() >= tokens.value() && latent.value() <= width.value());
}

inline void check(const MlaExpanded& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim width("nope + rope");
  Dim nope("nope");
  Dim rope("rope");
  Dim positions("positions");
  Dim v_dim("v_dim");
  match(a.q, "q").shape({&tokens, &heads, &width}).dtype({Dtype::f32, Dtype::bf16});
  match(a.q, "q").rows_contiguous();
  match(a.k, "k").shape({&positions, &heads, &nope}).dtype({a.q.dtype}).rows_contiguous();
  match(a.k_rope, "k_rope").shape({&positions, &rope}).dtype({a.q.dtype}).rows_contiguous();
  match(a.v, "v").shape({&positions, &heads, &v_dim}).dtype({a.q.dtype}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &v_dim}).dtype({a.q.dtype}).rows_contiguous();
  GLM_CHECK(positions.value() >= tokens.value());
  GLM_CHECK(nope.value() + rope.value() == width.value());
}

}  // namespace glm::kernels
