// Where a cached row lies.
#pragma once

#include <cstdint>

#include "base/check.h"
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

}  // namespace glm::kernels::cpu
