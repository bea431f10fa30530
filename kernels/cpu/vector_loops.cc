#include "kernels/cpu/vector_loops.h"

#include <algorithm>
#include <bit>
#include <cstring>

#define GLM_INLINE inline __attribute__((always_inline))

namespace glm::kernels::cpu {
namespace {

// Eight lanes: a register with AVX, two without.
using Vec = float __attribute__((vector_size(32)));
constexpr std::int64_t kLanes = 8;
constexpr std::int64_t kStep = 2 * kLanes;

GLM_INLINE void load(Vec& v, const float* from) {
  std::memcpy(&v, from, sizeof(v));
}
GLM_INLINE void store(const Vec& v, float* to) {
  std::memcpy(to, &v, sizeof(v));
}

template <int kRows, int kTokens>
GLM_INLINE void dot_tile(const DotBlock& a, std::int64_t row, std::int64_t token) {
  Vec low[kTokens][kRows] = {};
  Vec high[kTokens][kRows] = {};
  const float* w = a.w + row * a.w_stride;
  const float* x = a.x + token * a.x_stride;
  std::int64_t i = 0;
  for (; i + kStep <= a.dim; i += kStep) {
    Vec w_low[kRows];
    Vec w_high[kRows];
    for (int r = 0; r < kRows; ++r) {
      load(w_low[r], w + r * a.w_stride + i);
      load(w_high[r], w + r * a.w_stride + i + kLanes);
    }
    for (int t = 0; t < kTokens; ++t) {
      Vec x_low;
      Vec x_high;
      load(x_low, x + t * a.x_stride + i);
      load(x_high, x + t * a.x_stride + i + kLanes);
      for (int r = 0; r < kRows; ++r) {
        low[t][r] += x_low * w_low[r];
        high[t][r] += x_high * w_high[r];
      }
    }
  }
  if (const std::int64_t rest = a.dim - i; rest > 0) {
    const auto rest_bytes = static_cast<std::size_t>(rest) * sizeof(float);
    for (int t = 0; t < kTokens; ++t) {
      float x_tail[kStep] = {};
      std::memcpy(x_tail, x + t * a.x_stride + i, rest_bytes);
      Vec x_low;
      Vec x_high;
      load(x_low, x_tail);
      load(x_high, x_tail + kLanes);
      for (int r = 0; r < kRows; ++r) {
        float w_tail[kStep] = {};
        std::memcpy(w_tail, w + r * a.w_stride + i, rest_bytes);
        Vec w_low;
        Vec w_high;
        load(w_low, w_tail);
        load(w_high, w_tail + kLanes);
        low[t][r] += x_low * w_low;
        high[t][r] += x_high * w_high;
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int r = 0; r < kRows; ++r) {
      const Vec sum = low[t][r] + high[t][r];
      const float dot =
          ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
      float& out = a.out[(token + t) * a.out_stride + row + r];
      out = a.add ? out + dot : dot;
    }
  }
}

GLM_INLINE void dot_block_body(const DotBlock& a) {
  std::int64_t t = 0;
  for (; t + 2 <= a.tokens; t += 2) {
    std::int64_t r = 0;
    for (; r + 2 <= a.rows; r += 2) dot_tile<2, 2>(a, r, t);
    for (; r < a.rows; ++r) dot_tile<1, 2>(a, r, t);
  }
  for (; t < a.tokens; ++t) {
    std::int64_t r = 0;
    for (; r + 4 <= a.rows; r += 4) dot_tile<4, 1>(a, r, t);
    for (; r < a.rows; ++r) dot_tile<1, 1>(a, r, t);
  }
}

// Columns [column, column + kVecs * kLanes) of kTokens tokens.
template <int kTokens, int kVecs>
GLM_INLINE void sum_tile(const WeightedSum& a, std::int64_t token, std::int64_t column) {
  Vec sum[kTokens][kVecs] = {};
  if (a.add) {
    for (int t = 0; t < kTokens; ++t) {
      for (int c = 0; c < kVecs; ++c) {
        load(sum[t][c], a.out + (token + t) * a.out_stride + column + c * kLanes);
      }
    }
  }
  std::int64_t j = 0;
  const std::int64_t shared = a.count + token * a.count_step;
  for (; j < shared; ++j) {
    const float* v = a.v + j * a.v_stride + column;
    for (int c = 0; c < kVecs; ++c) {
      Vec value;
      load(value, v + c * kLanes);
      for (int t = 0; t < kTokens; ++t) sum[t][c] += a.p[(token + t) * a.p_stride + j] * value;
    }
  }
  for (int t = 1; t < kTokens; ++t) {
    for (std::int64_t own = shared; own < a.count + (token + t) * a.count_step; ++own) {
      for (int c = 0; c < kVecs; ++c) {
        Vec value;
        load(value, a.v + own * a.v_stride + column + c * kLanes);
        sum[t][c] += a.p[(token + t) * a.p_stride + own] * value;
      }
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    for (int c = 0; c < kVecs; ++c) {
      store(sum[t][c], a.out + (token + t) * a.out_stride + column + c * kLanes);
    }
  }
}

template <int kTokens>
GLM_INLINE void sum_tokens(const WeightedSum& a, std::int64_t token) {
  std::int64_t column = 0;
  for (; column + 4 * kLanes <= a.dim; column += 4 * kLanes) sum_tile<kTokens, 4>(a, token, column);
  for (; column + kLanes <= a.dim; column += kLanes) sum_tile<kTokens, 1>(a, token, column);
  for (; column < a.dim; ++column) {
    for (int t = 0; t < kTokens; ++t) {
      float& out = a.out[(token + t) * a.out_stride + column];
      float sum = a.add ? out : 0.0F;
      for (std::int64_t j = 0; j < a.count + (token + t) * a.count_step; ++j) {
        sum += a.p[(token + t) * a.p_stride + j] * a.v[j * a.v_stride + column];
      }
      out = sum;
    }
  }
}

GLM_INLINE void weighted_sum_body(const WeightedSum& a) {
  std::int64_t t = 0;
  for (; t + 2 <= a.tokens; t += 2) sum_tokens<2>(a, t);
  for (; t < a.tokens; ++t) sum_tokens<1>(a, t);
}

GLM_INLINE void decode_bf16_body(const std::uint16_t* row, std::int64_t cols, float* out) {
  for (std::int64_t c = 0; c < cols; ++c) out[c] = bf16_to_f32(row[c]);
}

GLM_INLINE float rounded_to_bf16(float finite) {
  const auto bits = std::bit_cast<std::uint32_t>(finite);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) & 0xFFFF0000U);
}

GLM_INLINE void decode_int4_body(const std::uint32_t* words, std::int64_t cols, float scale,
                                 float* out) {
  std::int64_t c = 0;
  for (; c + 8 <= cols; c += 8) {
    const std::uint32_t word = words[c / 8];
    for (unsigned k = 0; k < 8; ++k) {
      const int q = static_cast<int>((word >> (4 * k)) & 15U) - 8;
      out[c + k] = rounded_to_bf16(static_cast<float>(q) * scale);
    }
  }
  for (; c < cols; ++c) {
    const int q = static_cast<int>((words[c / 8] >> (4 * (c % 8))) & 15U) - 8;
    out[c] = rounded_to_bf16(static_cast<float>(q) * scale);
  }
}

struct Loops {
  void (*dot_block)(const DotBlock&);
  void (*weighted_sum)(const WeightedSum&);
  void (*decode_bf16)(const std::uint16_t*, std::int64_t, float*);
  void (*decode_int4)(const std::uint32_t*, std::int64_t, float, float*);
};

// Plain functions and a table instead of target_clones: those need ifunc, whose resolvers run
// before a sanitizer's runtime is ready.
#define GLM_VARIANT(suffix, attribute)                                                            \
  attribute void dot_block_##suffix(const DotBlock& a) {                                          \
    dot_block_body(a);                                                                            \
  }                                                                                               \
  attribute void weighted_sum_##suffix(const WeightedSum& a) {                                    \
    weighted_sum_body(a);                                                                         \
  }                                                                                               \
  attribute void decode_bf16_##suffix(const std::uint16_t* row, std::int64_t cols, float* out) {  \
    decode_bf16_body(row, cols, out);                                                             \
  }                                                                                               \
  attribute void decode_int4_##suffix(const std::uint32_t* words, std::int64_t cols, float scale, \
                                      float* out) {                                               \
    decode_int4_body(words, cols, scale, out);                                                    \
  }                                                                                               \
  constexpr Loops kLoops_##suffix = {&dot_block_##suffix, &weighted_sum_##suffix,                 \
                                     &decode_bf16_##suffix, &decode_int4_##suffix};

GLM_VARIANT(plain, )
#if defined(__x86_64__)
GLM_VARIANT(avx2, __attribute__((target("avx2,fma"))))
#endif

const Loops& loops() {
#if defined(__x86_64__)
  static const bool avx2 =
      __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
  if (avx2) return kLoops_avx2;
#endif
  return kLoops_plain;
}

}  // namespace

void dot_block(const DotBlock& a) {
  loops().dot_block(a);
}
void weighted_sum(const WeightedSum& a) {
  loops().weighted_sum(a);
}
void decode_bf16(const std::uint16_t* row, std::int64_t cols, float* out) {
  loops().decode_bf16(row, cols, out);
}
void decode_int4_bf16(const std::uint32_t* words, std::int64_t cols, float scale, float* out) {
  loops().decode_int4(words, cols, scale, out);
}

}  // namespace glm::kernels::cpu
