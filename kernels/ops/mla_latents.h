// What multi-head latent attention makes of its two compressed rows for each new token: the first,
// normed, gives the queries of all heads; the second, normed, and its shared key, turned, are what
// the cache keeps.
//
//   q[t, :] = q_b . norm(query[t, :])
//   page row of token t = [norm(row[t, :kv_rank]), rope(row[t, kv_rank:])]
//
//   query      [tokens, q_rank]           f32 (cpu), bf16 (cuda)   columns contiguous
//   row        [tokens, kv_rank + turned] dtype of query           columns contiguous
//                                         contents of both are undefined afterwards
//   q          [tokens, outputs of q_b]   dtype of query           columns contiguous
//   q_norm     [q_rank], kv_norm [kv_rank]  dtype of query
//   inv_freq   [turned / 2]               f32
//
// Norm, linear layer and rope as in rms_norm.h, linear.h and rope.h, pages as in paged_rows.h;
// equal to those operations one after the other, bit for bit.
#pragma once

#include "kernels/ops/normed_linear.h"
#include "kernels/ops/paged_rows.h"
#include "kernels/ops/rope.h"

namespace glm::kernels {

struct MlaLatents {
  TensorView q;
  TensorView query;
  TensorView row;
  ConstTensorView q_norm;
  ConstTensorView kv_norm;
  float eps = 0;
  WeightView q_b;
  ConstTensorView inv_freq;
  RopePairs pairs = RopePairs::interleaved;
  PagedRows rows;
  StepTokens tokens;

  // The operations it stands for.
  NormedLinear queries() const {
    return {
        .out = q, .norm = {.out = query, .x = query, .weight = q_norm, .eps = eps}, .weight = q_b};
  }
  RmsNorm row_norm() const {
    const TensorView latent = row.slice(1, 0, kv_norm.size(0));
    return {.out = latent, .x = latent, .weight = kv_norm, .eps = eps};
  }
  Rope row_rope() const {
    const std::int64_t latent = kv_norm.size(0);
    const TensorView key = row.slice(1, latent, row.size(1) - latent).as_heads(1);
    return {
        .out = key, .x = key, .positions = tokens.position, .inv_freq = inv_freq, .pairs = pairs};
  }
  StoreRows store() const { return {.rows = rows, .tokens = tokens, .x = row}; }
};

inline void check(const MlaLatents& a) {
  check(a.queries());
  GLM_CHECK(a.kv_norm.size(0) >= 1 && a.kv_norm.size(0) < a.row.size(1));
  check(a.row_norm());
  check(a.row_rope());
  check(a.store());
  GLM_CHECK(a.query.size(0) == a.row.size(0));
}

}  // namespace glm::kernels
