#include "kernels/cpu/ops.h"
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
  const std::int64_t positions = a.k.size(0);
  const std::int64_t kv_heads = a.k.size(1);
  const std::int64_t v_dim = a.v.size(2);
  const std::int64_t group = heads / kv_heads;
  const std::int64_t cost = tokens * heads * positions * (dim + v_dim);
  // One unit of work is one token with the heads of one group: they share every key and value.
  pool.for_ranges(tokens * kv_heads, 1, cost, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t unit = first; unit < end; ++unit) {
      const std::int64_t t = unit / kv_heads;
      const std::int64_t g = unit % kv_heads;
      const std::int64_t visible = positions - tokens + t + 1;
      float* scores = scratch(Scratch::scores, group * visible);
      dot_block({.w = a.k.as<float>() + g * a.k.stride(1),
                 .w_stride = a.k.stride(0),
                 .rows = visible,
                 .x = a.q.as<float>() + t * a.q.stride(0) + g * group * a.q.stride(1),
                 .x_stride = a.q.stride(1),
                 .tokens = group,
                 .out = scores,
                 .out_stride = visible,
                 .dim = dim});
      for (std::int64_t h = 0; h < group; ++h) softmax(scores + h * visible, visible, a.scale);
      weighted_sum({.p = scores,
                    .p_stride = visible,
                    .v = a.v.as<float>() + g * a.v.stride(1),
                    .v_stride = a.v.stride(0),
                    .out = a.out.as<float>() + t * a.out.stride(0) + g * group * a.out.stride(1),
                    .out_stride = a.out.stride(1),
                    .tokens = group,
                    .count = visible,
                    .dim = v_dim});
    }
  });
}

}  // namespace glm::kernels::cpu
