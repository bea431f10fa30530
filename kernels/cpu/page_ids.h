// Where the id of a token lies.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "kernels/ops/step_ids.h"

namespace glm::kernels::cpu {

inline std::int32_t* page_id(const PagedIds& a, std::int64_t sequence, std::int64_t position) {
  const std::int64_t slot = position / kPageTokens;
  GLM_CHECK(sequence >= 0 && sequence < a.table.size(0) && slot < a.table.size(1));
  const std::int64_t page = a.table.as<std::int32_t>()[sequence * a.table.stride(0) + slot];
  GLM_CHECK(page >= 0 && page < a.pages.size(0));
  return a.pages.as<std::int32_t>() + page * kPageTokens + position % kPageTokens;
}

}  // namespace glm::kernels::cpu
