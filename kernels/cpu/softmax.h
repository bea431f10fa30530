// The step between scores and weights that every attention takes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace glm::kernels::cpu {

// scores := softmax(scale * scores), in place; count >= 1. The sum is kept in f64.
inline void softmax(float* scores, std::int64_t count, float scale) {
  float largest = scores[0];
  for (std::int64_t j = 1; j < count; ++j) largest = std::max(largest, scores[j]);
  double sum = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    scores[j] = std::exp((scores[j] - largest) * scale);
    sum += static_cast<double>(scores[j]);
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (std::int64_t j = 0; j < count; ++j) scores[j] *= inverse;
}

}  // namespace glm::kernels::cpu
