// The ids of all tokens in pages, as device code sees them.
#pragma once

#include <cstdint>

#include "kernels/device/paged_rows.cuh"

namespace glm::kernels::device {

struct PagedIds {
  std::int32_t* pages;
  const std::int32_t* table;
  std::int64_t table_stride;

  __device__ std::int32_t* cell(int sequence, int position) const {
    const std::int64_t page = table[sequence * table_stride + position / kRowsOfPage];
    return pages + page * kRowsOfPage + position % kRowsOfPage;
  }
};

}  // namespace glm::kernels::device
