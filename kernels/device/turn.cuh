// The turning of pairs by positions: kernels/ops/rope.h.
#pragma once

#include <cstdint>

#include "kernels/device/numbers.cuh"

namespace glm::kernels::device {

struct Turns {
  const std::int32_t* positions;
  const float* inv_freq;
  int half;
  bool interleaved;

  __device__ float angle(std::int64_t token, int pair) const {
    return static_cast<float>(positions[token]) * inv_freq[pair];
  }
  // (cos, sin). The angle is an f32 product; from there f64, which is exact enough to round right
  // and reduces large angles fully.
  __device__ static float2 by(float angle) {
    double sine = 0;
    double cosine = 0;
    sincos(static_cast<double>(angle), &sine, &cosine);
    return {static_cast<float>(cosine), static_cast<float>(sine)};
  }
  __device__ float2 turn(std::int64_t token, int pair) const { return by(angle(token, pair)); }

  // `out` may be `x`.
  template <typename T>
  __device__ void apply(T* out, const T* x, int pair, const float2& turn) const {
    const int first = interleaved ? 2 * pair : pair;
    const int second = interleaved ? 2 * pair + 1 : pair + half;
    const float x_first = load(x + first);
    const float x_second = load(x + second);
    // Rounded in the same places in whatever kernel this is.
    store(out + first, __fmaf_rn(x_first, turn.x, -__fmul_rn(x_second, turn.y)));
    store(out + second, __fmaf_rn(x_second, turn.x, __fmul_rn(x_first, turn.y)));
  }
};

}  // namespace glm::kernels::device
