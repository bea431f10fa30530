// Attention over cached rows: some heads of one token that share a key and a value of each row.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/page_rows.h"
#include "kernels/cpu/rows_linear.h"
#include "kernels/cpu/softmax.h"
#include "kernels/cpu/vector_loops.h"

namespace glm::kernels::cpu {

// Calls body(first row, stride of the rows, its position, rows) over positions [0, count) in their
// order. Rows of fp8 latents, `width` values each, are decoded into this thread's memory page by
// page.
template <typename Body>
void for_pages(const PagedRows& a, std::int64_t width, std::int64_t sequence, std::int64_t count,
               const Body& body) {
  for (std::int64_t first = 0; first < count; first += kPageTokens) {
    const std::int64_t rows = std::min(kPageTokens, count - first);
    if (a.plain()) {
      body(page_row(a, sequence, first), a.pages.stride(1), first, rows);
      continue;
    }
    const LatentRecord layout{.latent = a.fp8_latent, .rope = width - a.fp8_latent};
    const std::uint8_t* records = page_row<std::uint8_t>(a, sequence, first);
    float* decoded = scratch(Scratch::page_rows, kPageTokens * width);
    for (std::int64_t r = 0; r < rows; ++r) {
      decode(layout, records + r * a.pages.stride(1), width, decoded + r * width);
    }
    body(decoded, width, first, rows);
  }
}

struct SharedHeads {
  std::int64_t token = 0;
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t width = 0;  // of a row
  std::int64_t key = 0;    // its columns where key and value begin
  std::int64_t value = 0;
};

// Op: MlaAbsorbed or GqaAttention, f32.
template <typename Op>
void attend_pages(const Op& a, const SharedHeads& heads) {
  const std::int64_t sequence = a.tokens.sequence.template as<std::int32_t>()[heads.token];
  const std::int64_t visible = a.tokens.position.template as<std::int32_t>()[heads.token] + 1;
  const float* q =
      a.q.template as<float>() + heads.token * a.q.stride(0) + heads.first * a.q.stride(1);
  float* out =
      a.out.template as<float>() + heads.token * a.out.stride(0) + heads.first * a.out.stride(1);
  float* scores = scratch(Scratch::scores, heads.count * visible);
  for_pages(a.rows, heads.width, sequence, visible,
            [&](const float* rows, std::int64_t stride, std::int64_t position, std::int64_t count) {
              dot_block({.w = rows + heads.key,
                         .w_stride = stride,
                         .rows = count,
                         .x = q,
                         .x_stride = a.q.stride(1),
                         .tokens = heads.count,
                         .out = scores + position,
                         .out_stride = visible,
                         .dim = a.q.size(2)});
            });
  for (std::int64_t h = 0; h < heads.count; ++h) softmax(scores + h * visible, visible, a.scale);
  for_pages(a.rows, heads.width, sequence, visible,
            [&](const float* rows, std::int64_t stride, std::int64_t position, std::int64_t count) {
              weighted_sum({.p = scores + position,
                            .p_stride = visible,
                            .v = rows + heads.value,
                            .v_stride = stride,
                            .out = out,
                            .out_stride = a.out.stride(1),
                            .tokens = heads.count,
                            .count = count,
                            .dim = a.out.size(2),
                            .add = position > 0});
            });
}

}  // namespace glm::kernels::cpu
