// The routed experts of a layer, grouped: every expert reads its weights once for all its tokens.
//
//   out[t, :] = sum over j of weights[t, j] * down_e( silu(gate_e(x[t])) * up_e(x[t]) )
//               (+ shared[t, :]),  e = ids[t, j]
//
//   x        [tokens, hidden]           f32 (cpu), bf16 (cuda)   columns contiguous
//   ids      [tokens, chosen]           i32         each in [0, experts), distinct within a row
//   weights  [tokens, chosen]           f32
//   gate, up  experts x (inner x hidden)            any weight format
//   down      experts x (hidden x inner)            any weight format
//   shared   [tokens, hidden]           dtype of x  optional: what experts of all tokens make of x,
//                                               which may still be under way (Ops::beside)
//   out      [tokens, hidden]           dtype of x  overwritten; must not overlap x or shared
//
// Bounds   what Ops::reserve() was told, where the backend asks for it.
// Numerics f32 (cuda: as linear.h, with silu(gate) * up rounded to bf16, where the products of many
//          rows are taken what an expert gives as well, and where those of some tens of rows are
//          with int4 in groups of 32, the numbers of a row to steps of about 2^-14 of its largest);
//          a token's contributions are added in the order of expert indices, then shared: its
//          result does not depend on the other tokens.
// Cost     the weights of the experts that occur, once.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

struct MoeMlp {
  TensorView out;
  ConstTensorView x;
  ConstTensorView ids;
  ConstTensorView weights;
  ExpertsView gate;
  ExpertsView up;
  ExpertsView down;
  ConstTensorView shared = {};
};

inline void check(const MoeMlp& a) {
  Dim tokens("tokens");
  Dim hidden("hidden");
  Dim chosen("chosen");
  match(a.x, "x").shape({&tokens, &hidden}).dtype({Dtype::f32, Dtype::bf16}).rows_contiguous();
  match(a.out, "out").shape({&tokens, &hidden}).dtype({a.x.dtype}).rows_contiguous();
  if (a.shared) {
    match(a.shared, "shared").shape({&tokens, &hidden}).dtype({a.x.dtype}).rows_contiguous();
  }
  match(a.ids, "ids").shape({&tokens, &chosen}).dtype({Dtype::i32}).contiguous();
  match(a.weights, "weights").shape({&tokens, &chosen}).dtype({Dtype::f32}).contiguous();
  GLM_CHECK(a.gate.experts >= 1);
  check(a.gate.expert(0));
  check(a.up.expert(0));
  check(a.down.expert(0));
  GLM_CHECK(a.gate.experts == a.up.experts && a.gate.experts == a.down.experts);
  GLM_CHECK(a.gate.layout.cols == hidden.value() && a.up.layout.cols == hidden.value());
  GLM_CHECK(a.gate.layout.rows == a.up.layout.rows && a.gate.layout.rows == a.down.layout.cols);
  GLM_CHECK(a.down.layout.rows == hidden.value());
}

}  // namespace glm::kernels
