// Softmax as scores arrive, for the 16 rows of a warp's tensor-core tile: each lane holds parts of
// rows lane/4 and lane/4 + 8, four lanes a row.
#pragma once

namespace glm::kernels::device {

struct SoftmaxRows {
  float highest[2] = {-INFINITY, -INFINITY};  // the same in the four lanes of a row
  float sum[2] = {};                          // of this lane's columns, until finish()

  // Scores of the next positions become weights exp2(score - highest); earlier values shrink to the
  // new highest. Row i sees the first seen_i of the columns, maybe none.
  template <int kScores, int kValues>
  __device__ void update(float (&scores)[kScores][4], float (&values)[kValues][4], float scale_log2,
                         int seen_upper, int seen_lower) {
    const int column = static_cast<int>(threadIdx.x) % 4 * 2;
    float above[2] = {highest[0], highest[1]};
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int seen = i < 2 ? seen_upper : seen_lower;
        const bool visible = n * 8 + column + i % 2 < seen;
        scores[n][i] = visible ? scores[n][i] * scale_log2 : -INFINITY;
        above[i / 2] = fmaxf(above[i / 2], scores[n][i]);
      }
    }
    float shrink[2];
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      above[part] = fmaxf(above[part], __shfl_xor_sync(0xFFFFFFFFU, above[part], 1));
      above[part] = fmaxf(above[part], __shfl_xor_sync(0xFFFFFFFFU, above[part], 2));
      // A row that has seen nothing stays at zeros, not at infinity minus infinity.
      const float base = above[part] == -INFINITY ? 0.0F : above[part];
      shrink[part] = exp2f(highest[part] - base);
      highest[part] = above[part];
      above[part] = base;
      sum[part] *= shrink[part];
    }
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[n][i] = exp2f(scores[n][i] - above[i / 2]);
        sum[i / 2] += scores[n][i];
      }
    }
#pragma unroll
    for (int n = 0; n < kValues; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values[n][i] *= shrink[i / 2];
    }
  }

  // Sums of whole rows, in all four lanes.
  __device__ void finish() {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      sum[part] += __shfl_xor_sync(0xFFFFFFFFU, sum[part], 1);
      sum[part] += __shfl_xor_sync(0xFFFFFFFFU, sum[part], 2);
    }
  }
};

}  // namespace glm::kernels::device
