#include <cstring>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/page_rows.h"

namespace glm::kernels::cpu {

void store_rows(ThreadPool& pool, const StoreRows& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t tokens = a.x.size(0);
  const std::int64_t width = a.x.size(1);
  const auto* sequence = a.tokens.sequence.as<std::int32_t>();
  const auto* position = a.tokens.position.as<std::int32_t>();
  pool.for_ranges(tokens, 16, tokens * width, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t t = first; t < end; ++t) {
      const float* x = a.x.as<float>() + t * a.x.stride(0);
      if (a.rows.plain()) {
        std::memcpy(page_row(a.rows, sequence[t], position[t]), x,
                    static_cast<std::size_t>(width) * sizeof(float));
      } else {
        encode({.latent = a.rows.fp8_latent, .rope = width - a.rows.fp8_latent}, x,
               page_row<std::uint8_t>(a.rows, sequence[t], position[t]));
      }
    }
  });
}

void gather_rows(ThreadPool& pool, const GatherRows& a) {
  check(a);
  GLM_CHECK(a.out.dtype == Dtype::f32);
  const std::int64_t positions = a.out.size(0);
  const std::int64_t columns = a.out.size(1);
  pool.for_ranges(positions, 64, positions * columns, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t p = first; p < end; ++p) {
      float* out = a.out.as<float>() + p * a.out.stride(0);
      if (a.rows.plain()) {
        std::memcpy(out, page_row(a.rows, a.sequence, p),
                    static_cast<std::size_t>(columns) * sizeof(float));
      } else {
        decode({.latent = a.rows.fp8_latent}, page_row<std::uint8_t>(a.rows, a.sequence, p),
               columns, out);
      }
    }
  });
}

}  // namespace glm::kernels::cpu
