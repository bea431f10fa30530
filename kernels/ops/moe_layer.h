// The feed-forward half of a layer with experts: router, choice, routed experts and the expert of
// all tokens; and before it, if asked for, what leads from attention to it.
//
//   x           = norm(projection(...) + residual)        with `front`: linear.h, then rms_norm.h
//   logits      = x router^T
//   ids, weights  as router_topk.h chooses by logits and bias
//   out[t, :]   = sum over j of weights[t, j] * Expert_ids[t, j](x[t]) (+ Shared(x[t]))
//   Expert(x), Shared(x) = down( silu(gate(x)) * up(x) )
//
//   x        [tokens, hidden]          f32 (cpu), bf16 (cuda)   columns contiguous
//   router   experts x hidden          any weight format
//   bias     [experts]                 f32         optional; used for the choice only
//   gate, up  experts x (inner x hidden)           any weight format
//   down      experts x (hidden x inner)           any weight format
//   shared.gate, .up  wide x hidden, .down  hidden x wide      optional: all three or none
//   out      [tokens, hidden]          dtype of x  overwritten; must not overlap x; may be
//                                                  front.projection.out
//   front.norm.out is x, front.norm.x is front.projection.out, and there is a residual, which
//            must not be front.norm.sum
//
// Written on the way, and contiguous:
//   logits   [tokens, experts]         f32
//   ids      [tokens, chosen]          i32         best first
//   weights  [tokens, chosen]          f32
//   shared.inner [tokens, wide], shared.out [tokens, hidden]   dtype of x   contents undefined,
//            with a front likewise x and front.projection.out
//
// Bounds   those of router_topk.h, and what Ops::reserve() was told.
// Numerics those of linear.h, rms_norm.h, router_topk.h and moe_mlp.h; whether Shared(x) is rounded
//          to the dtype of x before it is added is not said, nor what of a norm in front is.
// Cost     the weights of the router, the shared expert and the experts that occur, once.
#pragma once

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/moe_mlp.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/router_topk.h"
#include "kernels/weight_format.h"

namespace glm::kernels {

struct MoeLayer {
  struct SharedExpert {
    WeightView gate;
    WeightView up;
    WeightView down;
    TensorView inner;
    TensorView out;
    explicit operator bool() const { return static_cast<bool>(gate); }
  };

  // From what the heads of attention say to x.
  struct Front {
    Linear projection;
    RmsNorm norm;
    explicit operator bool() const { return static_cast<bool>(norm.out); }
  };

  TensorView out;
  ConstTensorView x;
  Front front = {};
  WeightView router;
  ConstTensorView bias = {};
  std::int64_t groups = 1;
  std::int64_t groups_kept = 1;
  RouterWeights weighting = RouterWeights::normalized;
  float scale = 1.0F;
  ExpertsView gate;
  ExpertsView up;
  ExpertsView down;
  SharedExpert shared = {};
  TensorView logits;
  TensorView ids;
  TensorView weights;

  // What is left to do once shared.inner and logits are there, in this order.
  RouterTopK choice() const {
    return {.ids = ids,
            .weights = weights,
            .logits = logits,
            .bias = bias,
            .groups = groups,
            .groups_kept = groups_kept,
            .weighting = weighting,
            .scale = scale};
  }
  MoeMlp experts() const {
    return {.out = out,
            .x = x,
            .ids = ids,
            .weights = weights,
            .gate = gate,
            .up = up,
            .down = down,
            .shared = shared.out};
  }
};

inline void check(const MoeLayer& a) {
  if (a.front) {
    check(a.front.projection);
    check(a.front.norm);
    const auto same = [](const ConstTensorView& one, const ConstTensorView& other) {
      return one.data == other.data && one.size(0) == other.size(0) &&
             one.size(1) == other.size(1) && one.stride(0) == other.stride(0);
    };
    GLM_CHECK(same(a.front.norm.out, a.x) && same(a.front.norm.x, a.front.projection.out));
    GLM_CHECK(a.front.norm.residual && a.front.norm.residual.data != a.front.norm.sum.data);
  }
  check(a.choice());
  check(a.experts());
  Dim tokens("tokens", a.x.size(0));
  Dim hidden("hidden", a.x.size(1));
  Dim experts("experts", a.gate.experts);
  match(a.logits, "logits").shape({&tokens, &experts}).dtype({Dtype::f32}).contiguous();
  check(a.router);
  GLM_CHECK(a.router.layout.rows == experts.value() && a.router.layout.cols == hidden.value());
  GLM_CHECK(static_cast<bool>(a.shared.gate) == static_cast<bool>(a.shared.up));
  GLM_CHECK(static_cast<bool>(a.shared.gate) == static_cast<bool>(a.shared.down));
  if (!a.shared) return;
  Dim wide("wide", a.shared.gate.layout.rows);
  match(a.shared.inner, "shared.inner").shape({&tokens, &wide}).dtype({a.x.dtype}).contiguous();
  match(a.shared.out, "shared.out").shape({&tokens, &hidden}).dtype({a.x.dtype}).contiguous();
  check(a.shared.gate);
  check(a.shared.up);
  check(a.shared.down);
  GLM_CHECK(a.shared.gate.layout.cols == hidden.value());
  GLM_CHECK(a.shared.up.layout.cols == hidden.value() && a.shared.up.layout.rows == wide.value());
  GLM_CHECK(a.shared.down.layout.rows == hidden.value() &&
            a.shared.down.layout.cols == wide.value());
}

}  // namespace glm::kernels
