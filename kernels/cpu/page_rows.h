// The rows a token sees, page by page.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "kernels/ops/paged_rows.h"

namespace glm::kernels::cpu {

// Row `position` of `sequence`; the page's later rows follow at the stride of the second axis.
inline float* page_row(const PagedRows& a, std::int64_t sequence, std::int64_t position) {
  const std::int64_t slot = position / kPageTokens;
  GLM_CHECK(sequence >= 0 && sequence < a.table.size(0) && slot < a.table.size(1));
  const std::int64_t page = a.table.as<std::int32_t>()[sequence * a.table.stride(0) + slot];
  GLM_CHECK(page >= 0 && page < a.pages.size(0));
  return a.pages.as<float>() + page * a.pages.stride(0) +
         position % kPageTokens * a.pages.stride(1);
}

// Calls body(first row, its position, rows) over positions [0, count) in their order.
template <typename Body>
void for_pages(const PagedRows& a, std::int64_t sequence, std::int64_t count, const Body& body) {
  for (std::int64_t first = 0; first < count; first += kPageTokens) {
    body(page_row(a, sequence, first), first, std::min(kPageTokens, count - first));
  }
}

}  // namespace glm::kernels::cpu
