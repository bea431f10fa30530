// The one decoder of every memory format: weights as f32, rounded exactly as the reference rounds
// them, or eight at a time as bf16 for tensor cores.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/device/fp8.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/weight.h"

namespace glm::kernels::device {

__device__ inline float e8m0(std::uint8_t bits) {
  if (bits == 255) return __int_as_float(0x7FC00000);
  return __uint_as_float(bits == 0 ? 0x00400000U : static_cast<std::uint32_t>(bits) << 23U);
}

// As bits of fp16, sign and magnitude are a number 2^14 times too small.
__device__ inline float e2m1_of_half(std::uint32_t bits) {
  return __half2float(__ushort_as_half(static_cast<std::uint16_t>(bits))) * 0x1p14F;
}
// Of the two columns in a byte one.
__device__ inline float even_e2m1(std::uint32_t byte) {
  return e2m1_of_half((byte & 0x8EU) << 8U);
}
__device__ inline float odd_e2m1(std::uint32_t byte) {
  return e2m1_of_half((byte & 1U) << 15U | (byte & 0x70U) << 5U);
}

template <typename T>
__device__ T* advanced(T* from, std::int64_t bytes) {
  if (from == nullptr) return nullptr;
  return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(from) +
                              static_cast<std::uintptr_t>(bytes));
}

__device__ inline Weight weight_at(const Weights& all, std::int64_t index) {
  Weight one = all.first;
  one.data = advanced(one.data, index * all.data_bytes);
  one.scales = advanced(one.scales, index * all.scales_bytes);
  one.zeros = advanced(one.zeros, index * all.zeros_bytes);
  one.order = advanced(one.order, index * all.order_bytes);
  one.global = advanced(one.global, index * all.global_bytes);
  return one;
}

// What the columns of one group have in common, as it is in memory: to read it early costs no
// waiting.
struct StoredGroup {
  std::uint32_t scale = 0;
  std::uint32_t zero = 0;
};
struct Group {
  float scale = 1;
  float zero = 0;
};

__device__ inline StoredGroup stored_group(const Weight& w, std::int64_t row, std::uint32_t c) {
  StoredGroup group;
  if (w.group == 0) return group;
  const std::int64_t scale_row =
      w.row_block == 1 ? row : static_cast<std::uint32_t>(w.row_offset + row) / w.row_block;
  const std::uint32_t index = w.group_shift != 0 ? c >> w.group_shift : c / w.group;
  const std::int64_t at = scale_row * w.groups + index;
  switch (w.scale_type) {
    case ScaleType::f16:
    case ScaleType::bf16:
      group.scale = static_cast<const std::uint16_t*>(w.scales)[at];
      break;
    case ScaleType::e4m3:
    case ScaleType::e8m0:
      group.scale = static_cast<const std::uint8_t*>(w.scales)[at];
      break;
    default:
      group.scale = static_cast<const std::uint32_t*>(w.scales)[at];
  }
  if (w.zeros != nullptr) {
    group.zero = w.zeros[row * w.groups + index];
  } else {
    group.zero = w.coding == Coding::int4 ? 8 : 128;
  }
  return group;
}

__device__ inline float scale_value(const Weight& w, std::uint32_t bits) {
  switch (w.scale_type) {
    case ScaleType::f16:
      return __half2float(__ushort_as_half(static_cast<std::uint16_t>(bits)));
    case ScaleType::bf16:
      return __uint_as_float(bits << 16U);
    case ScaleType::e4m3:
      return e4m3(static_cast<std::uint8_t>(bits));
    case ScaleType::e8m0:
      return e8m0(static_cast<std::uint8_t>(bits));
    default:
      return __uint_as_float(bits);
  }
}

__device__ inline Group decoded(const Weight& w, const StoredGroup& stored) {
  Group group;
  if (w.group == 0) return group;
  group.scale = scale_value(w, stored.scale);
  if (w.global_scale == Global::multiplies) group.scale = __fmul_rn(group.scale, *w.global);
  if (w.global_scale == Global::divides) group.scale = __fdiv_rn(group.scale, *w.global);
  group.zero = static_cast<float>(stored.zero);
  return group;
}

__device__ inline Group group_of(const Weight& w, std::int64_t row, std::uint32_t c) {
  return decoded(w, stored_group(w, row, c));
}

// A scale of weights in e4m3 as it is in memory: f32, or bf16 that is shifted to where a float has
// its bits when it is needed.
struct Fp8Scale {
  std::uint32_t bits = 0;
  std::uint32_t shift = 0;
  __device__ float value() const { return __uint_as_float(bits << shift); }
};
// Those of a row of weights as is_fast_fp8() of cuda/product.h has them.
class Fp8RowScales {
 public:
  Fp8RowScales() = default;
  __device__ Fp8RowScales(const Weight& w, std::int64_t row) {
    const std::int64_t scale_row =
        w.row_block == 1
            ? row
            : static_cast<std::uint32_t>(w.row_offset + row) >> (__ffs(w.row_block) - 1);
    first_ = static_cast<const std::uint8_t*>(w.scales) +
             scale_row * w.groups * (w.scale_type == ScaleType::f32 ? 4 : 2);
  }
  // `w` may be another weight with scales of the same kind.
  __device__ Fp8Scale at(const Weight& w, std::uint32_t c) const {
    const std::uint32_t group = w.groups == 1 ? 0 : c >> w.group_shift;
    if (w.scale_type == ScaleType::f32) {
      return {.bits = __ldg(reinterpret_cast<const std::uint32_t*>(first_) + group), .shift = 0};
    }
    return {.bits = __ldg(reinterpret_cast<const std::uint16_t*>(first_) + group), .shift = 16};
  }

 private:
  const std::uint8_t* first_;
};
__device__ inline Fp8Scale fp8_scale(const Weight& w, std::int64_t row, std::uint32_t c) {
  return Fp8RowScales(w, row).at(w, c);
}

// (code - zero) * scale in the dtype of the scales.
__device__ inline float integer_value(const Weight& w, const Group& group, std::uint32_t code) {
  const float product = __fmul_rn(static_cast<float>(code) - group.zero, group.scale);
  if (w.scale_type == ScaleType::bf16) return __bfloat162float(__float2bfloat16_rn(product));
  if (w.scale_type == ScaleType::f16) return __half2float(__float2half_rn(product));
  return product;
}

// The weight in stored column c of a row, exactly.
__device__ inline float stored_weight(const Weight& w, std::int64_t row, std::uint32_t c) {
  const std::uint8_t* data = w.data + row * w.row_bytes;
  switch (w.coding) {
    case Coding::f32:
      return reinterpret_cast<const float*>(data)[c];
    case Coding::f16:
      return __half2float(reinterpret_cast<const __half*>(data)[c]);
    case Coding::bf16:
      return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(data)[c]);
    case Coding::int4:
      return integer_value(w, group_of(w, row, c), data[c / 2] >> (4 * (c % 2)) & 15U);
    case Coding::int8:
      return integer_value(w, group_of(w, row, c), data[c]);
    case Coding::e4m3:
      return __fmul_rn(e4m3(data[c]), group_of(w, row, c).scale);
    default:
      return __fmul_rn(c % 2 == 0 ? even_e2m1(data[c / 2]) : odd_e2m1(data[c / 2]),
                       group_of(w, row, c).scale);
  }
}

// Which column of the weight lies in stored column c.
__device__ inline std::uint32_t column_of(const Weight& w, std::uint32_t c) {
  return w.order == nullptr ? c : static_cast<std::uint32_t>(w.order[c]);
}

// Eight stored columns, as they are in memory but for f32, which are rounded to bf16 at once.
struct StoredOctet {
  uint4 data = {};
  StoredGroup group;
};

// Columns [c, c + 8). c, cols and the group are multiples of eight.
__device__ inline StoredOctet stored_octet(const Weight& w, std::int64_t row, std::uint32_t c) {
  StoredOctet octet;
  const std::uint8_t* data = w.data + row * w.row_bytes;
  switch (w.coding) {
    case Coding::f32: {
      const auto* values = reinterpret_cast<const float*>(data) + c;
      octet.data = {bf16_pair(values[0], values[1]), bf16_pair(values[2], values[3]),
                    bf16_pair(values[4], values[5]), bf16_pair(values[6], values[7])};
      break;
    }
    case Coding::f16:
    case Coding::bf16:
      octet.data = *reinterpret_cast<const uint4*>(data + 2 * c);
      break;
    case Coding::int8:
    case Coding::e4m3: {
      const uint2 raw = *reinterpret_cast<const uint2*>(data + c);
      octet.data = {raw.x, raw.y, 0, 0};
      break;
    }
    default:
      octet.data.x = *reinterpret_cast<const std::uint32_t*>(data + c / 2);
  }
  octet.group = stored_group(w, row, c);
  return octet;
}

// Rounded to bf16.
__device__ inline uint4 decoded(const Weight& w, const StoredOctet& octet) {
  if (w.coding == Coding::bf16 || w.coding == Coding::f32) return octet.data;
  const std::uint32_t words[4] = {octet.data.x, octet.data.y, octet.data.z, octet.data.w};
  float values[8];
  if (w.coding == Coding::f16) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      values[i] = __half2float(
          __ushort_as_half(static_cast<std::uint16_t>(words[i / 2] >> (16 * (i % 2)))));
    }
  } else if (w.coding == Coding::int8 || w.coding == Coding::e4m3) {
    const Group group = decoded(w, octet.group);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const std::uint32_t code = words[i / 4] >> (8 * (i % 4)) & 255U;
      values[i] = w.coding == Coding::int8
                      ? integer_value(w, group, code)
                      : __fmul_rn(e4m3(static_cast<std::uint8_t>(code)), group.scale);
    }
  } else {
    const Group group = decoded(w, octet.group);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const std::uint32_t byte = words[0] >> (8 * (i / 2));
      values[i] = w.coding == Coding::int4
                      ? integer_value(w, group, byte >> (4 * (i % 2)) & 15U)
                      : __fmul_rn(i % 2 == 0 ? even_e2m1(byte) : odd_e2m1(byte), group.scale);
    }
  }
  return {bf16_pair(values[0], values[1]), bf16_pair(values[2], values[3]),
          bf16_pair(values[4], values[5]), bf16_pair(values[6], values[7])};
}

__device__ inline uint4 bf16x8(const Weight& w, std::int64_t row, std::uint32_t c) {
  return decoded(w, stored_octet(w, row, c));
}

}  // namespace glm::kernels::device
