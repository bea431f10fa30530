// Tensor maps: what the copy engine of sm_90 and later needs to know of a tensor in memory.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace glm::kernels::cuda {

// Of the driver, found at run time: the program starts without one.
using EncodeTensorMap = decltype(&cuTensorMapEncodeTiled);

// Null where the driver has none. The same for all devices of a process, which asks once.
EncodeTensorMap find_encode_tensor_map();

// Whether kernels of sm_90a were built, the current device runs them and its driver makes maps.
bool takes_warpgroups();

// A tensor with contiguous columns of bf16, or of bytes; boxes of `box_columns` by `box_middle` by
// `box_outer`. Rows of a box are 16, 32, 64 or 128 bytes and follow each other; their 16-byte
// chunks arrive in the order chunk ^ (r / (128 / bytes of a row) % chunks), for rows of 128 chunk ^
// (r % 8).
struct BoxedTensor {
  const void* data = nullptr;  // and strides: multiples of 16 bytes
  std::int64_t columns = 0;
  std::int64_t middle = 0;
  std::int64_t outer = 0;
  std::int64_t middle_stride = 0;  // elements
  std::int64_t outer_stride = 0;
  bool bytes = false;
  unsigned box_columns = 64;
  unsigned box_middle = 1;
  unsigned box_outer = 1;
};
cudaError_t make_tensor_map(EncodeTensorMap encode, const BoxedTensor& a, CUtensorMap& map);

// Of rows of bytes that follow each other, boxes of so many bytes of so many rows.
struct BoxedBytes {
  const void* data = nullptr;
  std::int64_t row_bytes = 0;
  std::int64_t rows = 0;
  unsigned box_bytes = 0;
  unsigned box_rows = 0;
};
cudaError_t make_tensor_map(const BoxedBytes& a, CUtensorMap& map);

}  // namespace glm::kernels::cuda
