// Absorbed latent attention of new tokens from their two compressed rows to what their heads say:
// mla_latents, mla_queries, mla_absorbed and head_linear, one after the other. Every token is the
// only one of its sequence.
//
//   latents  queries of all heads from one compressed row, and the cached row from the other
//   kv_b     heads*(nope + value) x kv_rank, any weight format: of each head W_UK, then W_UV
//   out      [tokens, heads, value]   dtype of latents.query   last axis contiguous
//
// Where those operations leave what the next one reads; undefined afterwards:
//   latents.q  [tokens, heads*(nope + turned)]
//   absorbed   [tokens, heads, kv_rank + turned]
//   mixed      [tokens, heads, kv_rank]
//
// Numerics: cached rows as mla_latents.h, bit for bit. On cuda a token's result may differ from
// that of those operations by the order of sums, by where the factors of the queries' norm are
// multiplied, and by values that are combined as bf16; the relative L2 error is at most one and a
// half times theirs. It does not depend on the other tokens but by how many they are and by
// positions_max, which choose between the two.
// cuda: earlier rows, positions, sequences and page tables may be read while the two operations
// asked for just before still run: those must not write any.
#pragma once

#include "kernels/ops/mla_attention.h"
#include "kernels/ops/mla_latents.h"
#include "kernels/ops/mla_queries.h"

namespace glm::kernels {

struct MlaDecode {
  TensorView out;
  MlaLatents latents;
  WeightView kv_b;
  TensorView absorbed;
  TensorView mixed;
  float scale = 0;

  std::int64_t tokens() const { return out.size(0); }
  std::int64_t heads() const { return out.size(1); }
  std::int64_t rank() const { return mixed.size(2); }
  std::int64_t turned() const { return absorbed.size(2) - rank(); }
  std::int64_t nope() const { return latents.q.size(1) / heads() - turned(); }

  // The operations it stands for, beside `latents`.
  MlaQueries queries() const {
    return {.out = absorbed,
            .q = latents.q.as_heads(heads()),
            .weight = kv_b,
            .head_rows = nope() + out.size(2),
            .positions = latents.tokens.position,
            .inv_freq = latents.inv_freq,
            .pairs = latents.pairs};
  }
  MlaAbsorbed attention() const {
    return {.out = mixed,
            .q = absorbed,
            .rows = latents.rows,
            .tokens = latents.tokens,
            .scale = scale};
  }
  HeadLinear values() const {
    return {.out = out,
            .x = mixed,
            .weight = kv_b,
            .head_rows = nope() + out.size(2),
            .first_row = nope()};
  }
};

inline void check(const MlaDecode& a) {
  check(a.latents);
  GLM_CHECK(a.heads() >= 1 && a.latents.q.size(1) % a.heads() == 0);
  GLM_CHECK(a.latents.kv_norm.size(0) == a.rank());
  check(a.queries());
  check(a.attention());
  check(a.values());
}

}  // namespace glm::kernels
