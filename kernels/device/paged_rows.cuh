// Cached rows in pages, as device code sees them.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

namespace glm::kernels::device {

constexpr int kRowsOfPage = 64;

// Element: bf16 where pages are plain, bytes otherwise.
template <typename Element = __nv_bfloat16>
struct PagedRows {
  Element* pages;
  const std::int32_t* table;
  std::int64_t page_stride;
  std::int64_t place_stride;
  std::int64_t table_stride;

  __device__ std::int32_t page(int sequence, int position) const {
    return table[sequence * table_stride + position / kRowsOfPage];
  }
  __device__ Element* row_of_page(std::int64_t page, int position) const {
    return pages + page * page_stride + position % kRowsOfPage * place_stride;
  }
  __device__ Element* row(int sequence, int position) const {
    return row_of_page(page(sequence, position), position);
  }
};

}  // namespace glm::kernels::device
