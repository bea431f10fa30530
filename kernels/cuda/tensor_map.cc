#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

CUtensorMapSwizzle swizzle_of(std::uint64_t row_bytes) {
  if (row_bytes == 128) return CU_TENSOR_MAP_SWIZZLE_128B;
  if (row_bytes == 64) return CU_TENSOR_MAP_SWIZZLE_64B;
  return row_bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B : CU_TENSOR_MAP_SWIZZLE_NONE;
}

EncodeTensorMap ask_driver() {
  constexpr unsigned kSinceCuda = 12000;
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found,
                                                            kSinceCuda, cudaEnableDefault, &result);
  if (code != cudaSuccess || result != cudaDriverEntryPointSuccess) {
    (void)cudaGetLastError();
    return nullptr;
  }
  return reinterpret_cast<EncodeTensorMap>(found);
}

}  // namespace

EncodeTensorMap find_encode_tensor_map() {
  static const EncodeTensorMap found = ask_driver();
  return found;
}

bool takes_warpgroups() {
#if defined(GLM_HAVE_SM90A)
  int device = 0;
  int major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major == 9 && find_encode_tensor_map() != nullptr;
#else
  return false;
#endif
}

cudaError_t make_tensor_map(EncodeTensorMap encode, const BoxedTensor& a, CUtensorMap& map) {
  const cuuint64_t element = a.bytes ? 1 : 2;
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(a.columns), static_cast<cuuint64_t>(a.middle),
                              static_cast<cuuint64_t>(a.outer)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(a.middle_stride) * element,
                                static_cast<cuuint64_t>(a.outer_stride) * element};
  const cuuint32_t box[] = {a.box_columns, a.box_middle, a.box_outer};
  const cuuint32_t steps[] = {1, 1, 1};
  const CUresult code =
      encode(&map, a.bytes ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3,
             const_cast<void*>(a.data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             swizzle_of(a.box_columns * element), CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return code == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t make_tensor_map(const BoxedBytes& a, CUtensorMap& map) {
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = a.data,
                          .columns = a.row_bytes,
                          .middle = a.rows,
                          .outer = 1,
                          .middle_stride = a.row_bytes,
                          .outer_stride = a.row_bytes,
                          .bytes = true,
                          .box_columns = a.box_bytes,
                          .box_middle = a.box_rows},
                         map);
}

}  // namespace glm::kernels::cuda
