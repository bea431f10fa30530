// What of a row's settings (ops/sample.h) can change something, on the host and on the device.
#pragma once

#include "kernels/ops/sample.h"

#ifdef __CUDACC__
#define GLM_BOTH __host__ __device__ inline
#else
#define GLM_BOTH inline
#endif

namespace glm::kernels::draw {

GLM_BOTH bool penalizes(const SampleRow& row) {
  return row.repeat_last_n != 0 && (row.repeat_penalty != 1.0F || row.presence_penalty != 0.0F ||
                                    row.frequency_penalty != 0.0F);
}
GLM_BOTH bool draws(const SampleRow& row) {
  return row.temperature > 0;
}
GLM_BOTH bool filters(const SampleRow& row) {
  return draws(row) && (row.top_k > 0 || row.top_p < 1.0F || row.min_p > 0);
}
// Whether more of the logits is wanted than the best of them, or of the draw.
GLM_BOTH bool looks(const SampleRow& row) {
  return filters(row) || penalizes(row) || row.bias_count > 0 || row.logprobs >= 0;
}

}  // namespace glm::kernels::draw
