// The operations that look at each row once: too cheap to share between threads.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/decode.h"
#include "kernels/cpu/ops.h"

namespace glm::kernels::cpu {

void embedding(ThreadPool& /*pool*/, const Embedding& a) {
  check(a);
  GLM_CHECK(a.out.dtype == Dtype::f32);
  const auto* ids = a.ids.as<std::int32_t>();
  for (std::int64_t t = 0; t < a.ids.size(0); ++t) {
    GLM_CHECK(ids[t] >= 0 && ids[t] < a.table.layout.rows);
    decode_row(a.table, ids[t], a.out.as<float>() + t * a.out.stride(0));
  }
}

void rms_norm(ThreadPool& /*pool*/, const RmsNorm& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t dim = a.x.size(1);
  const auto* weight = a.weight.as<float>();
  for (std::int64_t r = 0; r < a.x.size(0); ++r) {
    const float* x = a.x.as<float>() + r * a.x.stride(0);
    float* out = a.out.as<float>() + r * a.out.stride(0);
    if (a.residual) {
      const float* residual = a.residual.as<float>() + r * a.residual.stride(0);
      float* sum = a.sum.as<float>() + r * a.sum.stride(0);
      for (std::int64_t c = 0; c < dim; ++c) sum[c] = residual[c] + x[c];
      x = sum;
    }
    double squares = 0;
    for (std::int64_t c = 0; c < dim; ++c) {
      squares += static_cast<double>(x[c]) * static_cast<double>(x[c]);
    }
    const auto scale = static_cast<float>(
        1.0 / std::sqrt(squares / static_cast<double>(dim) + static_cast<double>(a.eps)));
    for (std::int64_t c = 0; c < dim; ++c) out[c] = weight[c] * (x[c] * scale);
  }
}

void rope(ThreadPool& /*pool*/, const Rope& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t half = a.inv_freq.size(0);
  const std::int64_t dim = a.x.size(2);
  const bool interleaved = a.pairs == RopePairs::interleaved;
  const auto* positions = a.positions.as<std::int32_t>();
  const auto* inv_freq = a.inv_freq.as<float>();
  for (std::int64_t t = 0; t < a.x.size(0); ++t) {
    for (std::int64_t h = 0; h < a.x.size(1); ++h) {
      const float* x = a.x.as<float>() + t * a.x.stride(0) + h * a.x.stride(1);
      float* out = a.out.as<float>() + t * a.out.stride(0) + h * a.out.stride(1);
      if (out != x) std::copy(x + 2 * half, x + dim, out + 2 * half);
    }
    for (std::int64_t k = 0; k < half; ++k) {
      const float angle = static_cast<float>(positions[t]) * inv_freq[k];
      const auto cosine = static_cast<float>(std::cos(static_cast<double>(angle)));
      const auto sine = static_cast<float>(std::sin(static_cast<double>(angle)));
      const std::int64_t first = interleaved ? 2 * k : k;
      const std::int64_t second = interleaved ? 2 * k + 1 : k + half;
      for (std::int64_t h = 0; h < a.x.size(1); ++h) {
        const float* x = a.x.as<float>() + t * a.x.stride(0) + h * a.x.stride(1);
        float* out = a.out.as<float>() + t * a.out.stride(0) + h * a.out.stride(1);
        const float x_first = x[first];
        const float x_second = x[second];
        out[first] = x_first * cosine - x_second * sine;
        out[second] = x_second * cosine + x_first * sine;
      }
    }
  }
}

}  // namespace glm::kernels::cpu
