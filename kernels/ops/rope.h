// Rotary position embedding: pair k of each vector is turned by the angle positions[t] *
// inv_freq[k]. Only the first `rotated` elements form pairs; the others pass through.
//
//   y[a] = x[a] * cos - x[b] * sin        interleaved: (a, b) = (2k, 2k + 1)
//   y[b] = x[b] * cos + x[a] * sin        half_split:  (a, b) = (k, k + rotated/2)
//
//   x, out     [tokens, heads, dim]  f32 | bf16   last axis contiguous; out may be x itself
//   positions  [tokens]              i32          contiguous, >= 0
//   inv_freq   [rotated / 2]         f32          contiguous
//
// Bounds   rotated <= dim.
// Numerics the angle is an f32 product, as in the reference library; cosine and sine are correctly
//          rounded to f32 from there, at any position. Rotation in f32.
#pragma once

#include "base/check.h"
#include "kernels/match.h"

namespace glm::kernels {

enum class RopePairs { interleaved, half_split };

struct Rope {
  TensorView out;
  ConstTensorView x;
  ConstTensorView positions;
  ConstTensorView inv_freq;
  RopePairs pairs = RopePairs::interleaved;
};

inline void check(const Rope& a) {
  Dim tokens("tokens");
  Dim heads("heads");
  Dim dim("dim");
  match(a.x, "x").shape({&tokens, &heads, &dim}).dtype({Dtype::f32, Dtype::bf16});
  match(a.x, "x").rows_contiguous();
  match(a.out, "out").shape({&tokens, &heads, &dim}).dtype({a.x.dtype}).rows_contiguous();
  match(a.positions, "positions").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  Dim half("rotated / 2");
  match(a.inv_freq, "inv_freq").shape({&half}).dtype({Dtype::f32}).contiguous();
  GLM_CHECK(2 * half.value() <= dim.value());
}

}  // namespace glm::kernels
