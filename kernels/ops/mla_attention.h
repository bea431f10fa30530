// Multi-head latent attention over cached rows (latent, then rotated key), in its two equivalent
// forms.
//
// Absorbed, for decoding and short stretches of a prompt: all heads share one key per position, the
// row itself, and the value is the latent part of that row. Any mix of sequences.
//     s_j    = scale * (q[t, h, :] . row_j)            j = 0 .. position of token t
//     out[t, h, :] = sum_j softmax(s)_j * row_j[0 .. latent)
//
//   q     [tokens, heads, latent + rope]  f32 (cpu), bf16 (cuda)   W_UK applied to its front
//   rows  pages of width latent + rope    plain in the dtype of q, or fp8_latent
//   out   [tokens, heads, latent]         dtype of q               W_UV is still to be applied
//
// Expanded, for long prompts: keys and values of each head have been computed from the gathered
// latents of one sequence, whose last tokens these are. Token t sits at position first + t, where
// first = positions - tokens.
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
// Bounds   expanded: positions >= tokens.
// Numerics cpu: softmax in f32 with the sum in f64; against f64: absolute 1e-5 for values of size
//          one. cuda: scores and sums in f32, probabilities rounded to bf16 before they meet the
//          values; relative L2 error 5e-3. Of fp8 latents both are against the values that the
//          records hold (kv_format.h), on cuda rounded to bf16. On cuda
//          the number of tokens may choose the form, and only within it does a token's result
//          depend on nothing but its own query and the positions it sees.
// cuda: rows older than a sequence's first token of this call may be read while the operation asked
// for just before still runs: that one must not write any, nor positions, sequences or page tables.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/ops/paged_rows.h"

namespace glm::kernels {

struct MlaAbsorbed {
  TensorView out;
  ConstTensorView q;
  PagedRows rows;
  StepTokens tokens;
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
  Dim latent("latent");
  check(a.tokens, tokens);
  match(a.q, "q").shape({&tokens, &heads, &width}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &latent}).dtype({a.q.dtype}).rows_contiguous();
  check(a.rows, width.value());
  check_dtype(a.rows, a.q, "q");
  GLM_CHECK(latent.value() <= width.value());
  GLM_CHECK(a.rows.plain() || a.rows.fp8_latent == latent.value());
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
