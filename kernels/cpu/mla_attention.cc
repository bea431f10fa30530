#include <algorithm>

#include "kernels/cpu/attend_pages.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows_linear.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/vector_loops.h"

namespace glm::kernels::cpu {
namespace {

constexpr std::int64_t kTokensAtOnce = 16;  // keys and values are read once for so many queries

}  // namespace

void mla_absorbed(ThreadPool& pool, const MlaAbsorbed& a) {
  check(a);
  GLM_CHECK(a.q.dtype == Dtype::f32 && a.scale > 0);
  const std::int64_t tokens = a.q.size(0);
  const std::int64_t heads = a.q.size(1);
  const std::int64_t width = a.q.size(2);
  const std::int64_t latent = a.out.size(2);
  const std::int64_t cost = tokens * heads * a.tokens.positions_max * (width + latent);
  // One unit of work is one token with some heads: they share every cached row that is loaded, and
  // more of them one that must be decoded.
  const std::int64_t heads_at_once = a.rows.plain() ? 2 : 8;
  const std::int64_t groups = (heads + heads_at_once - 1) / heads_at_once;
  pool.for_ranges(tokens * groups, 1, cost, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t unit = first; unit < end; ++unit) {
      const std::int64_t head = unit % groups * heads_at_once;
      attend_pages(a, {.token = unit / groups,
                       .first = head,
                       .count = std::min(heads_at_once, heads - head),
                       .width = width});
    }
  });
}

void mla_expanded(ThreadPool& pool, const MlaExpanded& a) {
  check(a);
  GLM_CHECK(a.q.dtype == Dtype::f32 && a.scale > 0);
  const std::int64_t tokens = a.q.size(0);
  const std::int64_t heads = a.q.size(1);
  const std::int64_t positions = a.k.size(0);
  const std::int64_t nope = a.k.size(2);
  const std::int64_t rope = a.k_rope.size(1);
  const std::int64_t v_dim = a.v.size(2);
  const std::int64_t blocks = (tokens + kTokensAtOnce - 1) / kTokensAtOnce;
  const std::int64_t cost = tokens * heads * positions * (nope + rope + v_dim);
  pool.for_ranges(blocks * heads, 1, cost, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t unit = first; unit < end; ++unit) {
      const std::int64_t head = unit / blocks;
      const std::int64_t token = unit % blocks * kTokensAtOnce;
      const std::int64_t count = std::min(kTokensAtOnce, tokens - token);
      const std::int64_t visible = positions - tokens + token + 1;  // of the first token
      const std::int64_t visible_last = visible + count - 1;
      float* scores = scratch(Scratch::scores, count * visible_last);
      DotBlock dots{.w = a.k.as<float>() + head * a.k.stride(1),
                    .w_stride = a.k.stride(0),
                    .rows = visible_last,
                    .x = a.q.as<float>() + token * a.q.stride(0) + head * a.q.stride(1),
                    .x_stride = a.q.stride(0),
                    .tokens = count,
                    .out = scores,
                    .out_stride = visible_last,
                    .dim = nope};
      dot_block(dots);
      dots.w = a.k_rope.as<float>();
      dots.w_stride = a.k_rope.stride(0);
      dots.x += nope;
      dots.dim = rope;
      dots.add = true;
      dot_block(dots);
      for (std::int64_t t = 0; t < count; ++t) {
        softmax(scores + t * visible_last, visible + t, a.scale);
      }
      weighted_sum({.p = scores,
                    .p_stride = visible_last,
                    .v = a.v.as<float>() + head * a.v.stride(1),
                    .v_stride = a.v.stride(0),
                    .out = a.out.as<float>() + token * a.out.stride(0) + head * a.out.stride(1),
                    .out_stride = a.out.stride(0),
                    .tokens = count,
                    .count = visible,
                    .count_step = 1,
                    .dim = v_dim});
    }
  });
}

}  // namespace glm::kernels::cpu
