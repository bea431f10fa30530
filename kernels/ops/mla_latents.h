// What multi-head latent attention makes of its two compressed rows for each new token: both are
// normed, the second with its shared key is what the cache keeps.
//
//   query[t, :] = q_weight * norm(query[t, :])
//   page row of token t = [kv_weight * norm(row[t, :kv_rank]), rope(row[t, kv_rank:])]
//
//   query      [tokens, q_rank]           f32 (cpu), bf16 (cuda)   columns contiguous; overwritten
//   row        [tokens, kv_rank + turned] dtype of query           columns contiguous; contents are
//                                                                  undefined afterwards
//   q_weight   [q_rank], kv_weight [kv_rank]  dtype of query
//   inv_freq   [turned / 2]               f32
//
// Norm and rope as rms_norm.h and rope.h, pages as paged_rows.h; equal to those operations one
// after the other, bit for bit.
#pragma once

#include "kernels/ops/paged_rows.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"

namespace glm::kernels {

struct MlaLatents {
  TensorView query;
  TensorView row;
  ConstTensorView q_weight;
  ConstTensorView kv_weight;
  float eps = 0;
  ConstTensorView inv_freq;
  RopePairs pairs = RopePairs::interleaved;
  PagedRows rows;
  StepTokens tokens;

  // The operations it stands for.
  RmsNorm query_norm() const { return {.out = query, .x = query, .weight = q_weight, .eps = eps}; }
  RmsNorm row_norm() const {
    const TensorView latent = row.slice(1, 0, kv_weight.size(0));
    return {.out = latent, .x = latent, .weight = kv_weight, .eps = eps};
  }
  Rope row_rope() const {
    const std::int64_t latent = kv_weight.size(0);
    const TensorView key = row.slice(1, latent, row.size(1) - latent).as_heads(1);
    return {
        .out = key, .x = key, .positions = tokens.position, .inv_freq = inv_freq, .pairs = pairs};
  }
  StoreRows store() const { return {.rows = rows, .tokens = tokens, .x = row}; }
};

inline void check(const MlaLatents& a) {
  check(a.query_norm());
  GLM_CHECK(a.kv_weight.size(0) >= 1 && a.kv_weight.size(0) < a.row.size(1));
  check(a.row_norm());
  check(a.row_rope());
  check(a.store());
  GLM_CHECK(a.query.size(0) == a.row.size(0));
}

}  // namespace glm::kernels
