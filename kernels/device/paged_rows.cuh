// Cached rows in pages, as device code sees them.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace glm::kernels::device {

constexpr int kRowsOfPage = 64;

struct PagedRows {
  __nv_bfloat16* pages;
  const std::int32_t* table;
  std::int64_t page_stride;
  std::int64_t place_stride;
  std::int64_t table_stride;

  __device__ __nv_bfloat16* row(int sequence, int position) const {
    const std::int64_t page = table[sequence * table_stride + position / kRowsOfPage];
    return pages + page * page_stride + position % kRowsOfPage * place_stride;
  }
};

}  // namespace glm::kernels::device
