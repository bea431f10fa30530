// Tensor maps: what the copy engine of sm_90 and later needs to know of a tensor in memory.
#pragma once

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace glm::kernels::cuda {

// Of the driver, found at run time: the program starts without one.
using EncodeTensorMap = decltype(&cuTensorMapEncodeTiled);

// Null where the driver has none.
EncodeTensorMap find_encode_tensor_map();

// A tensor of bf16 with contiguous columns; boxes of 64 columns by `box_middle` by `box_outer`,
// which arrive with the 16-byte chunks of row r in the order chunk ^ (r % 8).
struct BoxedTensor {
  const void* data = nullptr;  // and strides: multiples of 16 bytes
  std::int64_t columns = 0;
  std::int64_t middle = 0;
  std::int64_t outer = 0;
  std::int64_t middle_stride = 0;  // elements
  std::int64_t outer_stride = 0;
  unsigned box_middle = 1;
  unsigned box_outer = 1;
};
cudaError_t make_tensor_map(EncodeTensorMap encode, const BoxedTensor& a, CUtensorMap& map);

}  // namespace glm::kernels::cuda
