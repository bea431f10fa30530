#include "kernels/cpu/ops.h"
#include "kernels/cpu/page_rows.h"
#include "kernels/cpu/rows_linear.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/vector_loops.h"

namespace glm::kernels::cpu {

void gqa_attention(ThreadPool& pool, const GqaAttention& a) {
  check(a);
  GLM_CHECK(a.q.dtype == Dtype::f32);
  const std::int64_t tokens = a.q.size(0);
  const std::int64_t heads = a.q.size(1);
  const std::int64_t dim = a.q.size(2);
  const std::int64_t v_dim = a.out.size(2);
  const std::int64_t group = heads / a.kv_heads;
  const std::int64_t row_stride = a.rows.pages.stride(1);
  const std::int64_t cost = tokens * heads * a.tokens.positions_max * (dim + v_dim);
  // One unit of work is one token with the heads of one group: they share every key and value.
  pool.for_ranges(tokens * a.kv_heads, 1, cost, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t unit = first; unit < end; ++unit) {
      const std::int64_t t = unit / a.kv_heads;
      const std::int64_t g = unit % a.kv_heads;
      const std::int64_t sequence = a.tokens.sequence.as<std::int32_t>()[t];
      const std::int64_t visible = a.tokens.position.as<std::int32_t>()[t] + 1;
      float* scores = scratch(Scratch::scores, group * visible);
      for_pages(a.rows, sequence, visible,
                [&](const float* rows, std::int64_t position, std::int64_t count) {
                  dot_block({.w = rows + g * dim,
                             .w_stride = row_stride,
                             .rows = count,
                             .x = a.q.as<float>() + t * a.q.stride(0) + g * group * a.q.stride(1),
                             .x_stride = a.q.stride(1),
                             .tokens = group,
                             .out = scores + position,
                             .out_stride = visible,
                             .dim = dim});
                });
      for (std::int64_t h = 0; h < group; ++h) softmax(scores + h * visible, visible, a.scale);
      for_pages(a.rows, sequence, visible,
                [&](const float* rows, std::int64_t position, std::int64_t count) {
                  weighted_sum(
                      {.p = scores + position,
                       .p_stride = visible,
                       .v = rows + a.kv_heads * dim + g * v_dim,
                       .v_stride = row_stride,
                       .out = a.out.as<float>() + t * a.out.stride(0) + g * group * a.out.stride(1),
                       .out_stride = a.out.stride(1),
                       .tokens = group,
                       .count = count,
                       .dim = v_dim,
                       .add = position > 0});
                });
    }
  });
}

}  // namespace glm::kernels::cpu
