// Loads and stores of activations as f32.
#pragma once

#include <cuda_bf16.h>

namespace glm::kernels::device {

__device__ inline float load(const float* from) {
  return *from;
}
__device__ inline float load(const __nv_bfloat16* from) {
  return __bfloat162float(*from);
}

__device__ inline void store(float* to, float value) {
  *to = value;
}
__device__ inline void store(__nv_bfloat16* to, float value) {
  *to = __float2bfloat16_rn(value);
}

// What is left of a value after it has been stored as T.
template <typename T>
__device__ float rounded(float value);
template <>
__device__ inline float rounded<float>(float value) {
  return value;
}
template <>
__device__ inline float rounded<__nv_bfloat16>(float value) {
  return __bfloat162float(__float2bfloat16_rn(value));
}

}  // namespace glm::kernels::device
