// Softmax as scores arrive, for the 16 rows of a warp's tensor-core tile: each lane holds parts of
// rows lane/4 and lane/4 + 8, four lanes a row.
#pragma once

#include "kernels/device/mma.cuh"

namespace glm::kernels::device {

struct SoftmaxRows {
  float highest[2] = {-INFINITY, -INFINITY};  // unscaled score, the same in the four lanes of a row
  float sum[2] = {};                          // of this lane's columns, until finish()

  // Scores of the next positions become weights exp2(scale * (score - highest)), scale > 0; earlier
  // values shrink to the new highest. Row i sees the first seen_i of the columns, maybe none.
  template <int kScores, int kValues>
  __device__ void update(float (&scores)[kScores][4], float (&values)[kValues][4], float scale_log2,
                         int seen_upper, int seen_lower) {
    float factors[2];
    weigh(scores, factors, scale_log2, seen_upper, seen_lower);
    shrink(values, factors);
  }

  // The first half of this: leaves how much earlier values must shrink.
  template <int kScores>
  __device__ void weigh(float (&scores)[kScores][4], float (&factors)[2], float scale_log2,
                        int seen_upper, int seen_lower) {
    if (__any_sync(0xFFFFFFFFU, min(seen_upper, seen_lower) < kScores * 8)) {
      const int column = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
      for (int n = 0; n < kScores; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int seen = i < 2 ? seen_upper : seen_lower;
          if (n * 8 + column + i % 2 >= seen) scores[n][i] = -INFINITY;
        }
      }
    }
    float base[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float above = highest[half];
#pragma unroll
      for (int n = 0; n < kScores; ++n) {
        above = fmaxf(above, fmaxf(scores[n][half * 2], scores[n][half * 2 + 1]));
      }
      above = fmaxf(above, __shfl_xor_sync(0xFFFFFFFFU, above, 1));
      above = fmaxf(above, __shfl_xor_sync(0xFFFFFFFFU, above, 2));
      // A row that has seen nothing stays at zeros, not at infinity minus infinity.
      base[half] = above == -INFINITY ? 0.0F : above * scale_log2;
      factors[half] = exp2_approx(highest[half] * scale_log2 - base[half]);
      highest[half] = above;
      sum[half] *= factors[half];
    }
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = exp2_approx(scores[n][i] * scale_log2 - base[i / 2]);
        sum[i / 2] += scores[n][i];
      }
    }
  }

  template <int kValues>
  __device__ static void shrink(float (&values)[kValues][4], const float (&factors)[2]) {
#pragma unroll
    for (int n = 0; n < kValues; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values[n][i] *= factors[i / 2];
    }
  }

  // Sums of whole rows, in all four lanes.
  __device__ void finish() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      sum[half] += __shfl_xor_sync(0xFFFFFFFFU, sum[half], 1);
      sum[half] += __shfl_xor_sync(0xFFFFFFFFU, sum[half], 2);
    }
  }
};

}  // namespace glm::kernels::device
