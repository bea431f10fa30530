// How product_bulk.cu decodes what lies in a stage. A lane has thirty-two columns of a row at a
// time, four words of eight; a codec says what else belongs to them, and gives pairs of weights in
// the order of int4_order().
#pragma once

#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"

namespace glm::kernels::cuda {

// Where the scales and zero points of thirty-two columns of one row lie in a stage.
struct StagedGroup {
  const std::uint8_t* scales;
  const std::uint8_t* zeros;
};

// Without zeros, and scales in bf16.
struct BulkInt4 {
  static constexpr int kParts = 2;  // of the memory format
  static constexpr unsigned kScaleBytes = 2;
  using Group = device::Int4Group;
  __device__ static Group group(const device::Weight& /*w*/, const StagedGroup& at) {
    return {.scale = *reinterpret_cast<const __nv_bfloat16*>(at.scales), .zero = 8};
  }
  __device__ static std::uint32_t pair(std::uint32_t bits, int /*word*/, int i,
                                       const Group& group) {
    return device::int4_pair(bits, i, group);
  }
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
};

// Scales in bf16 or f16.
struct BulkInt4Zeros {
  static constexpr int kParts = 3;
  static constexpr unsigned kScaleBytes = 2;
  using Group = device::Int4SplitGroup;
  __device__ static Group group(const device::Weight& w, const StagedGroup& at) {
    return device::int4_split_group(w.scale_type,
                                    *reinterpret_cast<const std::uint16_t*>(at.scales), *at.zeros);
  }
  __device__ static std::uint32_t pair(std::uint32_t bits, int /*word*/, int i,
                                       const Group& group) {
    return device::int4_split_pair(bits, i, group);
  }
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
};

struct BulkFp4 {
  static constexpr int kParts = 2;
  static constexpr unsigned kScaleBytes = 1;
  using Group = __nv_bfloat162;  // of sixteen columns each
  __device__ static Group group(const device::Weight& w, const StagedGroup& at) {
    const unsigned second = w.scale_type == device::ScaleType::e4m3 ? 1 : 0;
    return device::fp4_scales(w.scale_type, at.scales[0], at.scales[second]);
  }
  __device__ static std::uint32_t pair(std::uint32_t bits, int word, int i, const Group& group) {
    return device::fp4_pair(bits, i, word < 2 ? __low2bfloat16(group) : __high2bfloat16(group));
  }
  __device__ static device::Fp4Unit unit(const device::Weight& w) { return device::Fp4Unit(w); }
};

}  // namespace glm::kernels::cuda
