// The three inner loops all arithmetic of this backend comes down to, compiled for plain x86-64 (or
// whatever the compiler targets) and for AVX2 with FMA, chosen when the program starts.
//
// On one machine the result of an element never depends on how many rows or tokens are computed
// with it: each dot product runs through the same sixteen partial sums whatever the tile around it.
#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace glm::kernels::cpu {

// out[t, r] = dot(x[t, :], w[r, :]), or += when adding.
struct DotBlock {
  const float* w = nullptr;
  std::int64_t w_stride = 0;
  std::int64_t rows = 0;
  const float* x = nullptr;
  std::int64_t x_stride = 0;
  std::int64_t tokens = 0;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  std::int64_t dim = 0;
  bool add = false;
};
void dot_block(const DotBlock& a);

// out[t, :] = sum over j < count + t * count_step of p[t, j] * v[j, :], in the order of j; or, when
// adding, goes on with what is there: a sum cut into pieces gives the bits of the whole.
struct WeightedSum {
  const float* p = nullptr;
  std::int64_t p_stride = 0;
  const float* v = nullptr;
  std::int64_t v_stride = 0;
  float* out = nullptr;
  std::int64_t out_stride = 0;
  std::int64_t tokens = 0;
  std::int64_t count = 0;
  std::int64_t count_step = 0;
  std::int64_t dim = 0;
  bool add = false;
};
void weighted_sum(const WeightedSum& a);

// One row of a bf16 or an int4_group weight (weight_format.h) as f32.
void decode_bf16(const std::uint16_t* row, std::int64_t cols, float* out);

// cols values of one group, starting at a multiple of eight columns; `scale` finite, of dtype bf16.
void decode_int4_bf16(const std::uint32_t* words, std::int64_t cols, float scale, float* out);

}  // namespace glm::kernels::cpu
