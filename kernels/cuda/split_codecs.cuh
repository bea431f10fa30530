// How product_split.cu decodes what lies in shared memory: eight columns, a word, of rows in pairs,
// each row with the scale of its columns. Weights come in the order of int4_order().
#pragma once

#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"

namespace glm::kernels::cuda {

// Of two rows.
struct SplitWords {
  std::uint32_t words[2];
  const std::uint8_t* scales[2];
};

struct SplitInt4 {
  static constexpr unsigned kScaleBytes = 2;
  __device__ static void decode(const device::Weight& /*w*/, const SplitWords& rows,
                                std::uint32_t (&pairs)[2][4]) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const auto scale = *reinterpret_cast<const __nv_bfloat16*>(rows.scales[row]);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        pairs[row][i] = device::int4_pair(rows.words[row], i, {.scale = scale, .zero = 8});
      }
    }
  }
  __device__ static float unit(const device::Weight& /*w*/) {
    return 1;
  }
};

struct SplitFp4 {
  static constexpr unsigned kScaleBytes = 1;
  __device__ static void decode(const device::Weight& w, const SplitWords& rows,
                                std::uint32_t (&pairs)[2][4]) {
    const __nv_bfloat162 scales =
        device::fp4_scales(w.scale_type, *rows.scales[0], *rows.scales[1]);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      pairs[0][i] = device::fp4_pair(rows.words[0], i, __low2bfloat16(scales));
      pairs[1][i] = device::fp4_pair(rows.words[1], i, __high2bfloat16(scales));
    }
  }
  __device__ static device::Fp4Unit unit(const device::Weight& w) {
    return device::Fp4Unit(w);
  }
};

inline unsigned split_scale_bytes(const device::Weight& w) {
  return w.coding == device::Coding::int4 ? SplitInt4::kScaleBytes : SplitFp4::kScaleBytes;
}

}  // namespace glm::kernels::cuda
