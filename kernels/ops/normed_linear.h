// A norm and the one linear layer that reads it.
//
//   y   = rms_norm.h of `norm`, its sum with a residual included
//   out = linear.h of y and `weight`
//
//   norm.out  [tokens, inputs]   room for y: contents are undefined afterwards
//   norm.sum  where a residual is given it must not be that one, nor x: it is read by many while
//             one writes
//   out       [tokens, outputs]  dtype of x; must not overlap what is read
//
// Bounds and numerics as those two; equal to them one after the other, bit for bit.
#pragma once

#include "kernels/ops/linear.h"
#include "kernels/ops/rms_norm.h"

namespace glm::kernels {

struct NormedLinear {
  TensorView out;
  RmsNorm norm;
  WeightView weight;

  // The second of the operations it stands for.
  Linear linear() const { return {.out = out, .x = norm.out, .weight = weight}; }
};

inline void check(const NormedLinear& a) {
  check(a.norm);
  check(a.linear());
  match(a.out, "out").dtype({a.norm.x.dtype});
  GLM_CHECK(!a.norm.residual ||
            (a.norm.sum.data != a.norm.residual.data && a.norm.sum.data != a.norm.x.data));
}

}  // namespace glm::kernels
