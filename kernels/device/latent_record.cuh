// Records of fp8 latents (kernels/kv_format.h), as device code sees them.
#pragma once

#include "kernels/device/fp8.cuh"
#include "kernels/device/numbers.cuh"

namespace glm::kernels::device {

struct LatentRecord {
  static constexpr int kBlock = 128;

  int latent;
  int scales_at;
  int rope_at;
  int size_bytes;

  // Rounded to bf16.
  __device__ float value(const std::uint8_t* record, int column) const {
    if (column >= latent) {
      return load(reinterpret_cast<const __nv_bfloat16*>(record + rope_at) + (column - latent));
    }
    return rounded<__nv_bfloat16>(e4m3(record[column]) * scale(record, column / kBlock));
  }
  __device__ float scale(const std::uint8_t* record, int block) const {
    return reinterpret_cast<const float*>(record + scales_at)[block];
  }
};

}  // namespace glm::kernels::device
