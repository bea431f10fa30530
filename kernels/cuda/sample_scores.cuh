// Bounds of the scores by which ids are drawn (kernels/draw.h): a score takes two logarithms in a
// fixed form, a bound a few instructions, and it never comes below the score. Where the best of
// many ids is wanted, the scores of one or two are.
#pragma once

#include "kernels/draw.h"

namespace glm::kernels::cuda::sampling {

constexpr double kLog2E = 1.4426950408889634;

// Whole numbers in the order of floats, and back.
__device__ inline int rank_of(float x) {
  const int bits = __float_as_int(x);
  return bits ^ (bits >> 31 & 0x7FFFFFFF);
}
__device__ inline float of_rank(int rank) {
  return __int_as_float(rank ^ (rank >> 31 & 0x7FFFFFFF));
}

__device__ inline float log2_approx(float x) {
  float result;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// Of a row: what its bounds take. Beyond what floats can hold nothing is a bound, and all scores
// are computed.
__device__ inline float bound_slope(double per_temperature) {
  constexpr double kSteepest = 1e30;
  return per_temperature <= kSteepest ? static_cast<float>(per_temperature * kLog2E) : NAN;
}
// Of the score times log2(e): -log(-log(1 - v)) is at most -log(v). Off by 2^-21 of itself and
// 2^-15 where roundings are all on one side.
__device__ inline float bound_of_draw(float logit, float slope, std::uint32_t random) {
  const float v = fmaf(static_cast<float>(random), 0x1p-32F, 0x1p-33F);
  return fmaf(logit, slope, -log2_approx(v));
}
// Ids with bounds below this have lower scores than this one. Without a draw the logit is both.
__device__ inline float limit_of_bounds(double score, bool draws) {
  const auto value = static_cast<float>(draws ? score * kLog2E : score);
  return value - fmaf(fabsf(value), 0x1p-18F, 0x1p-8F);
}

}  // namespace glm::kernels::cuda::sampling
