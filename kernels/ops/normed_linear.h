// A norm and the one linear layer that reads it.
//
//   y   = rms_norm.h of `norm`, its sum with a residual included
//   out = linear.h of y and `weight`, and of y and `rest`, one beside the other
//
//   rest      more rows, which cannot be stacked on those of `weight` (WeightLayout::stacks()), but
//             are of the same format; may be none
//   norm.out  [tokens, inputs]   room for y: contents are undefined afterwards
//   norm.sum  where a residual is given it must not be that one, nor x: it is read by many while
//             one writes
//   out       [tokens, outputs]  dtype of x; must not overlap what is read
//
// Bounds and numerics as those two; equal to them one after the other, bit for bit, unless norm.x
// is the result of a moe_mlp or moe_layer that is the operation before this one. Then y may be
// rounded before it is divided by the root of its mean square.
#pragma once

#include "kernels/ops/linear.h"
#include "kernels/ops/rms_norm.h"

namespace glm::kernels {

struct NormedLinear {
  TensorView out;
  RmsNorm norm;
  WeightView weight;
  WeightView rest = {};

  // The other operations it stands for; the last where there is a rest.
  Linear linear() const {
    return {.out = out.slice(1, 0, weight.layout.rows), .x = norm.out, .weight = weight};
  }
  Linear rest_linear() const {
    return {
        .out = out.slice(1, weight.layout.rows, rest.layout.rows), .x = norm.out, .weight = rest};
  }
};

inline void check(const NormedLinear& a) {
  check(a.norm);
  check(a.linear());
  if (a.rest) {
    check(a.rest_linear());
    GLM_CHECK(a.rest.layout.format == a.weight.layout.format);
  }
  GLM_CHECK(a.out.size(1) == a.weight.layout.rows + (a.rest ? a.rest.layout.rows : 0));
  match(a.out, "out").dtype({a.norm.x.dtype});
  GLM_CHECK(!a.norm.residual ||
            (a.norm.sum.data != a.norm.residual.data && a.norm.sum.data != a.norm.x.data));
}

}  // namespace glm::kernels
