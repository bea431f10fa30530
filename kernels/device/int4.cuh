// int4, dequantized in registers: one logical operation sets two fields into the mantissa of 128,
// exactly. With scales in bf16 subtraction and product round as the reference does; with those in
// f16 a product is rounded to bf16 once, where the reference rounds to f16 before: at most one last
// bit apart.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "kernels/device/weight.cuh"

namespace glm::kernels::device {

// Of one group of one row, as it is in memory: to read it early costs no waiting.
struct Int4Group {
  __nv_bfloat16 scale;
  std::uint8_t zero;
};

__device__ inline Int4Group int4_group(const Weight& w, std::int64_t row, std::uint32_t c) {
  const std::int64_t at = row * w.groups + (c >> w.group_shift);
  return {static_cast<const __nv_bfloat16*>(w.scales)[at],
          w.zeros == nullptr ? std::uint8_t{8} : w.zeros[at]};
}

// Fields i of both halves of a word, i = 0 .. 3, which are four bits each, as numbers that are 128
// more.
__device__ inline std::uint32_t int4_codes(std::uint32_t word, int i) {
  std::uint32_t fields = 0;
  // (word >> 4i) & 0x000F000F | 0x43004300 as one operation; the compiler makes two of it.
  asm("lop3.b32 %0, %1, 0x000F000F, 0x43004300, 0xEA;" : "=r"(fields) : "r"(word >> (4 * i)));
  return fields;
}

// Fields i of both halves of a word, i = 0 .. 3, which are four bits each; `zero` is 128 more than
// it is. Columns i and i + 4 of the eight in a word, where scale and zero are of its row.
__device__ inline std::uint32_t int4_pair(std::uint32_t word, int i, __nv_bfloat162 scale,
                                          __nv_bfloat162 zero) {
  const std::uint32_t fields = int4_codes(word, i);
  const __nv_bfloat162 code = *reinterpret_cast<const __nv_bfloat162*>(&fields);
  const __nv_bfloat162 value = __hmul2(__hsub2(code, zero), scale);
  return *reinterpret_cast<const std::uint32_t*>(&value);
}
__device__ inline std::uint32_t int4_pair(std::uint32_t word, int i, __nv_bfloat16 scale,
                                          __nv_bfloat16 zero) {
  return int4_pair(word, i, __bfloat162bfloat162(scale), __bfloat162bfloat162(zero));
}
__device__ inline std::uint32_t int4_pair(std::uint32_t word, int i, const Int4Group& group) {
  return int4_pair(word, i, group.scale,
                   __float2bfloat16_rn(128.0F + static_cast<float>(group.zero)));
}

// Scales that are no bf16 numbers, as f16 ones are: two, whose sum a scale is. Products with both
// are rounded once, as one.
struct Int4SplitGroup {
  __nv_bfloat16 scale;
  __nv_bfloat16 rest;
  std::uint8_t zero;
};
__device__ inline Int4SplitGroup int4_split_group(ScaleType type, std::uint16_t scale,
                                                  std::uint8_t zero) {
  if (type != ScaleType::f16) {
    return {__ushort_as_bfloat16(scale), __float2bfloat16_rn(0), zero};
  }
  const float whole = __half2float(__ushort_as_half(scale));
  const __nv_bfloat16 first = __float2bfloat16_rn(whole);
  return {first, __float2bfloat16_rn(whole - __bfloat162float(first)), zero};
}
__device__ inline std::uint32_t int4_split_pair(std::uint32_t word, int i,
                                                const Int4SplitGroup& group) {
  const std::uint32_t fields = int4_codes(word, i);
  const __nv_bfloat162 zero = __float2bfloat162_rn(128.0F + static_cast<float>(group.zero));
  const __nv_bfloat162 code = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&fields), zero);
  const __nv_bfloat162 value = __hfma2(code, __bfloat162bfloat162(group.scale),
                                       __hmul2(code, __bfloat162bfloat162(group.rest)));
  return *reinterpret_cast<const std::uint32_t*>(&value);
}

// All eight in their order, from pairs.
__device__ inline uint4 int4_in_order(const std::uint32_t (&p)[4]) {
  return {__byte_perm(p[0], p[1], 0x5410), __byte_perm(p[2], p[3], 0x5410),
          __byte_perm(p[0], p[1], 0x7632), __byte_perm(p[2], p[3], 0x7632)};
}
__device__ inline uint4 int4_word(std::uint32_t word, const Int4Group& group) {
  return int4_in_order({int4_pair(word, 0, group), int4_pair(word, 1, group),
                        int4_pair(word, 2, group), int4_pair(word, 3, group)});
}
__device__ inline uint4 int4_split_word(std::uint32_t word, const Int4SplitGroup& group) {
  return int4_in_order({int4_split_pair(word, 0, group), int4_split_pair(word, 1, group),
                        int4_split_pair(word, 2, group), int4_split_pair(word, 3, group)});
}

// Eight activations in the order in which int4_pair gives weights.
__device__ inline uint4 int4_order(const uint4& x) {
  return {__byte_perm(x.x, x.z, 0x5410), __byte_perm(x.x, x.z, 0x7632),
          __byte_perm(x.y, x.w, 0x5410), __byte_perm(x.y, x.w, 0x7632)};
}

}  // namespace glm::kernels::device
