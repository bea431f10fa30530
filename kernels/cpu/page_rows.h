// The rows a token sees, page by page.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "kernels/cpu/rows_linear.h"
#include "kernels/ops/paged_rows.h"

namespace glm::kernels::cpu {

// Row `position` of `sequence`; the page's later rows follow at the stride of the second axis.
template <typename Element = float>
Element* page_row(const PagedRows& a, std::int64_t sequence, std::int64_t position) {
  const std::int64_t slot = position / kPageTokens;
  GLM_CHECK(sequence >= 0 && sequence < a.table.size(0) && slot < a.table.size(1));
  const std::int64_t page = a.table.as<std::int32_t>()[sequence * a.table.stride(0) + slot];
  GLM_CHECK(page >= 0 && page < a.pages.size(0));
  return a.pages.as<Element>() + page * a.pages.stride(0) +
         position % kPageTokens * a.pages.stride(1);
}

// Calls body(first row, its position, rows) over positions [0, count) in their order.
template <typename Body>
void for_pages(const PagedRows& a, std::int64_t sequence, std::int64_t count, const Body& body) {
  for (std::int64_t first = 0; first < count; first += kPageTokens) {
    body(page_row(a, sequence, first), first, std::min(kPageTokens, count - first));
  }
}

// The same with the stride of the rows before the number of them, whatever the pages are: the rows
// of fp8 latents, `width` values each, are decoded into this thread's memory page by page.
template <typename Body>
void for_latent_pages(const PagedRows& a, std::int64_t width, std::int64_t sequence,
                      std::int64_t count, const Body& body) {
  if (a.plain()) {
    for_pages(a, sequence, count,
              [&](const float* rows, std::int64_t position, std::int64_t row_count) {
                body(rows, a.pages.stride(1), position, row_count);
              });
    return;
  }
  const LatentRecord layout{.latent = a.fp8_latent, .rope = width - a.fp8_latent};
  float* rows = scratch(Scratch::page_rows, kPageTokens * width);
  for (std::int64_t first = 0; first < count; first += kPageTokens) {
    const std::uint8_t* records = page_row<std::uint8_t>(a, sequence, first);
    const std::int64_t row_count = std::min(kPageTokens, count - first);
    for (std::int64_t r = 0; r < row_count; ++r) {
      decode(layout, records + r * a.pages.stride(1), width, rows + r * width);
    }
    body(rows, width, first, row_count);
  }
}

}  // namespace glm::kernels::cpu
