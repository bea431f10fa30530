// Grouped-query attention over cached rows: every heads / kv_heads query heads in a row share one
// head of keys and values. A row of the cache holds the keys of all kv heads, then their values.
// Any mix of sequences.
//
//     g = h / (heads / kv_heads)
//     s_j    = scale * (q[t, h, :] . k_j[g, :])        j = 0 .. position of token t
//     out[t, h, :] = sum_j softmax(s)_j * v_j[g, :]
//
//   q     [tokens, heads, dim]                         f32 (cpu), bf16 (cuda)   rotated
//   rows  pages of width kv_heads * (dim + v_dim)      plain, dtype of q, keys rotated
//   out   [tokens, heads, v_dim]                       dtype of q
//
// All: last axis contiguous, other strides free; out overlaps nothing.
// Bounds   kv_heads divides heads; scale > 0.
// Numerics as mla_attention.h. A token's result does not depend on the other tokens.
// Cost     keys and values of the visible positions, once per kv head and token.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/ops/paged_rows.h"

namespace glm::kernels {

struct GqaAttention {
  TensorView out;
  ConstTensorView q;
  PagedRows rows;
  StepTokens tokens;
  std::int64_t kv_heads = 0;
  float scale = 0;
};

inline void check(const GqaAttention& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim dim("dim");
  Dim v_dim("v_dim");
  check(a.tokens, tokens);
  match(a.q, "q").shape({&tokens, &heads, &dim}).dtype({a.rows.pages.dtype}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &v_dim}).dtype({a.q.dtype}).rows_contiguous();
  GLM_CHECK(a.kv_heads >= 1 && heads.value() % a.kv_heads == 0);
  GLM_CHECK(a.rows.plain());
  check(a.rows, a.kv_heads * (dim.value() + v_dim.value()));
  GLM_CHECK(a.scale > 0);
}

}  // namespace glm::kernels
