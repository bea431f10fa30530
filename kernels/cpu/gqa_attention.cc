#include "kernels/cpu/attend_pages.h"
#include "kernels/cpu/ops.h"

namespace glm::kernels::cpu {

void gqa_attention(ThreadPool& pool, const GqaAttention& a) {
  check(a);
  GLM_CHECK(a.q.dtype == Dtype::f32);
  const std::int64_t tokens = a.q.size(0);
  const std::int64_t heads = a.q.size(1);
  const std::int64_t dim = a.q.size(2);
  const std::int64_t v_dim = a.out.size(2);
  const std::int64_t group = heads / a.kv_heads;
  const std::int64_t cost = tokens * heads * a.tokens.positions_max * (dim + v_dim);
  // One unit of work is one token with the heads of one group: they share every key and value.
  pool.for_ranges(tokens * a.kv_heads, 1, cost, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t unit = first; unit < end; ++unit) {
      const std::int64_t g = unit % a.kv_heads;
      attend_pages(a, {.token = unit / a.kv_heads,
                       .first = g * group,
                       .count = group,
                       .width = a.kv_heads * (dim + v_dim),
                       .key = g * dim,
                       .value = a.kv_heads * dim + g * v_dim});
    }
  });
}

}  // namespace glm::kernels::cpu
