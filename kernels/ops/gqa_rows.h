// What grouped-query attention makes of the projections of new tokens: queries and keys of all
// heads, normed where the model does that, and turned; keys and values go to the cache.
//
//   q[t, h, :]               = rope(norm(q[t, h, :]))
//   page row of token t      = [rope(norm(k[t, g, :])) of all kv heads g, v[t, :]]
//
//   qkv       [tokens, heads * dim | kv_heads * dim | kv_heads * dim]  f32 (cpu), bf16 (cuda)
//             columns contiguous; queries stay there, what keys and values become is undefined
//   q_norm, k_norm  [dim]    dtype of qkv; both or neither
//   inv_freq  [turned / 2]   f32
//
// Norm and rope as in rms_norm.h and rope.h, pages (plain) as in paged_rows.h; equal to those
// operations one after the other, bit for bit. cuda: positions, sequences and page tables are read
// early, as mla_decode.h says.
#pragma once

#include <algorithm>

#include "kernels/ops/paged_rows.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"

namespace glm::kernels {

struct GqaRows {
  TensorView qkv;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  ConstTensorView q_norm = {};
  ConstTensorView k_norm = {};
  float eps = 0;
  ConstTensorView inv_freq;
  RopePairs pairs = RopePairs::half_split;
  PagedRows rows;
  StepTokens tokens;

  std::int64_t dim() const { return qkv.size(1) / (heads + 2 * kv_heads); }
  TensorView queries() const { return qkv.slice(1, 0, heads * dim()).as_heads(heads); }
  TensorView keys() const {
    return qkv.slice(1, heads * dim(), kv_heads * dim()).as_heads(kv_heads);
  }

  // The operations it stands for. A norm is of one head of all tokens, or of all heads of one
  // token: of what there is less.
  std::int64_t norms(const TensorView& all_heads) const {
    return std::min(all_heads.size(0), all_heads.size(1));
  }
  RmsNorm norm_of(const TensorView& all_heads, std::int64_t number,
                  const ConstTensorView& by) const {
    const bool of_head = all_heads.size(1) <= all_heads.size(0);
    const TensorView part = all_heads.slice(of_head ? 1 : 0, number, 1);
    TensorView rows_of_part = part;
    rows_of_part.rank = 2;
    rows_of_part.shape = {part.size(of_head ? 0 : 1), part.size(2)};
    rows_of_part.strides = {part.stride(of_head ? 0 : 1), part.stride(2)};
    return {.out = rows_of_part, .x = rows_of_part, .weight = by, .eps = eps};
  }
  Rope rope_of(const TensorView& all_heads) const {
    return {.out = all_heads,
            .x = all_heads,
            .positions = tokens.position,
            .inv_freq = inv_freq,
            .pairs = pairs};
  }
  StoreRows store() const {
    return {.rows = rows, .tokens = tokens, .x = qkv.slice(1, heads * dim(), 2 * kv_heads * dim())};
  }
};

inline void check(const GqaRows& a) {
  GLM_CHECK(a.heads >= 1 && a.kv_heads >= 1);
  GLM_CHECK(a.qkv.rank == 2 && a.qkv.size(1) % (a.heads + 2 * a.kv_heads) == 0);
  GLM_CHECK(static_cast<bool>(a.q_norm) == static_cast<bool>(a.k_norm));
  if (a.q_norm && a.qkv.size(0) > 0) {
    check(a.norm_of(a.queries(), 0, a.q_norm));
    check(a.norm_of(a.keys(), 0, a.k_norm));
  }
  check(a.rope_of(a.queries()));
  check(a.rope_of(a.keys()));
  GLM_CHECK(a.rows.plain());
  check(a.store());
}

}  // namespace glm::kernels
