// The queries of absorbed latent attention: W_UK moves over from the keys, the rest is turned.
//
//   out[t, h, :rank] = sum over i of q[t, h, i] * W_h[i, :]      i < nope, W_h as head_linear.h
//   out[t, h, rank:] = rope(q[t, h, nope:])
//
//   q         [tokens, heads, nope + turned]   f32 (cpu), bf16 (cuda)   last axis contiguous
//   weight    heads*head_rows x rank           any weight format; W_h are the first nope rows of a
//                                              head
//   out       [tokens, heads, rank + turned]   dtype of q               last axis contiguous; must
//                                                                       not overlap q
//   positions [tokens] i32, inv_freq [turned / 2] f32
//
// Bounds and numerics as head_linear.h (transposed) and rope.h; equal to those operations one after
// the other, bit for bit.
#pragma once

#include "kernels/ops/head_linear.h"
#include "kernels/ops/rope.h"

namespace glm::kernels {

struct MlaQueries {
  TensorView out;
  ConstTensorView q;
  WeightView weight;
  std::int64_t head_rows = 0;
  ConstTensorView positions;
  ConstTensorView inv_freq;
  RopePairs pairs = RopePairs::interleaved;

  std::int64_t rank() const { return weight.layout.cols; }
  std::int64_t turned() const { return out.size(2) - rank(); }
  std::int64_t nope() const { return q.size(2) - turned(); }

  // The operations it stands for.
  HeadLinear absorption() const {
    return {.out = out.slice(2, 0, rank()),
            .x = q.slice(2, 0, nope()),
            .weight = weight,
            .head_rows = head_rows,
            .order = HeadOrder::transposed};
  }
  Rope rope() const {
    return {.out = out.slice(2, rank(), turned()),
            .x = q.slice(2, nope(), turned()),
            .positions = positions,
            .inv_freq = inv_freq,
            .pairs = pairs};
  }
};

inline void check(const MlaQueries& a) {
  GLM_CHECK(a.turned() >= 1 && a.nope() >= 1);
  check(a.absorption());
  check(a.rope());
  GLM_CHECK(2 * a.inv_freq.size(0) == a.turned());
}

}  // namespace glm::kernels
