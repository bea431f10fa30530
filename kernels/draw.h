// The arithmetic of sampling (ops/sample.h), the same bits wherever it runs: every operation is a
// single IEEE one in a fixed order. On the host the including file must be compiled without
// contraction of products and sums (-ffp-contract=off); on the device the intrinsics see to it.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/draw_settings.h"

namespace glm::kernels::draw {

GLM_BOTH float add(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
GLM_BOTH float mul(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
GLM_BOTH float div(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
GLM_BOTH double add(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}
GLM_BOTH double mul(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}
GLM_BOTH std::uint32_t bits_of(float value) {
  std::uint32_t bits = 0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
GLM_BOTH float float_of(std::uint32_t bits) {
  float value = 0;
  memcpy(&value, &bits, sizeof value);
  return value;
}
GLM_BOTH float never() {
  return float_of(0xFF800000U);
}  // -infinity
GLM_BOTH bool is_finite(float x) {
  return (bits_of(x) & 0x7F800000U) != 0x7F800000U;
}

// exp(x) for x <= 0, relative error 2e-7; 0 below -86. (Cephes, expf.)
GLM_BOTH float exp_of(float x) {
  if (!(x > -86.0F)) return 0;
  const float n = floorf(add(mul(1.44269504088896341F, x), 0.5F));
  x = add(x, mul(n, -0.693359375F));
  x = add(x, mul(n, 2.12194440e-4F));
  float y = 1.9875691500e-4F;
  y = add(mul(y, x), 1.3981999507e-3F);
  y = add(mul(y, x), 8.3334519073e-3F);
  y = add(mul(y, x), 4.1665795894e-2F);
  y = add(mul(y, x), 1.6666665459e-1F);
  y = add(mul(y, x), 5.0000001201e-1F);
  y = add(add(mul(y, mul(x, x)), x), 1.0F);
  return mul(y, float_of(static_cast<std::uint32_t>(static_cast<int>(n) + 127) << 23U));
}

// log(x) for normal x > 0, relative error 2e-7. (Cephes, logf.)
GLM_BOTH float log_of(float x) {
  const std::uint32_t bits = bits_of(x);
  auto e = static_cast<float>(static_cast<int>(bits >> 23U) - 126);
  x = float_of((bits & 0x007FFFFFU) | 0x3F000000U);  // in [0.5, 1)
  if (x < 0.707106781186547524F) {
    e = add(e, -1.0F);
    x = add(x, x);
  }
  x = add(x, -1.0F);
  const float z = mul(x, x);
  float y = 7.0376836292e-2F;
  y = add(mul(y, x), -1.1514610310e-1F);
  y = add(mul(y, x), 1.1676998740e-1F);
  y = add(mul(y, x), -1.2420140846e-1F);
  y = add(mul(y, x), 1.4249322787e-1F);
  y = add(mul(y, x), -1.6668057665e-1F);
  y = add(mul(y, x), 2.0000714765e-1F);
  y = add(mul(y, x), -2.4999993993e-1F);
  y = add(mul(y, x), 3.3333331174e-1F);
  y = mul(mul(y, x), z);
  y = add(y, mul(e, -2.12194440e-4F));
  y = add(y, mul(-0.5F, z));
  return add(add(x, y), mul(e, 0.693359375F));
}

struct Words {
  std::uint32_t word[4];
};

// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011): 128 random bits of a counter and a key.
GLM_BOTH Words philox(Words counter, std::uint64_t seed) {
  auto low = static_cast<std::uint32_t>(seed);
  auto high = static_cast<std::uint32_t>(seed >> 32U);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = static_cast<std::uint64_t>(0xD2511F53U) * counter.word[0];
    const std::uint64_t b = static_cast<std::uint64_t>(0xCD9E8D57U) * counter.word[2];
    counter = {{static_cast<std::uint32_t>(b >> 32U) ^ counter.word[1] ^ low,
                static_cast<std::uint32_t>(b),
                static_cast<std::uint32_t>(a >> 32U) ^ counter.word[3] ^ high,
                static_cast<std::uint32_t>(a)}};
    low += 0x9E3779B9U;
    high += 0xBB67AE85U;
  }
  return counter;
}

// Random bits of the ids 4 * group .. 4 * group + 3 for the token after `position`.
GLM_BOTH Words random_words(std::uint64_t seed, std::int32_t position, std::int32_t group) {
  return philox(
      {{static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(position) + 1U, 0, 0}}, seed);
}

// -log(-log(1 - v)) of a uniform v in (0, 1) that is fine where it is small: there lie the winners.
GLM_BOTH float gumbel(std::uint32_t random) {
  float v = add(mul(static_cast<float>(random), 0x1p-32F), 0x1p-33F);
  v = v < 1 - 0x1p-24F ? v : 1 - 0x1p-24F;
  const float u = add(1.0F, -v);
  // -log(1 - v) = -log(u) where 1 - v was exact; where it was rounded, corrected by how far.
  const float exponential = u == 1.0F ? v : mul(log_of(u), div(v, add(u, -1.0F)));
  return -log_of(exponential);
}

// Compared among the ids of a row; the largest is taken. Exact to a rounding of f64 at any scale.
GLM_BOTH double score(float logit, double per_temperature, std::uint32_t random) {
  return add(mul(static_cast<double>(logit), per_temperature), static_cast<double>(gumbel(random)));
}
GLM_BOTH double per_temperature(const SampleRow& row) {
  return 1.0 / static_cast<double>(row.temperature);
}

// What is left of a logit after bias and penalties; `times` is how often the id was seen.
GLM_BOTH float adjusted(const SampleRow& row, float logit, float bias, std::uint32_t times) {
  logit = add(logit, bias);
  if (times > 0) {
    logit = logit > 0 ? div(logit, row.repeat_penalty) : mul(logit, row.repeat_penalty);
    logit = add(logit,
                -add(row.presence_penalty, mul(static_cast<float>(times), row.frequency_penalty)));
  }
  return logit == logit ? logit : never();  // NaN
}

// Orders by logit, then by id, the lower first: the larger key goes before. All keys of a row
// differ, and none is 0.
GLM_BOTH std::uint64_t key_of(float logit, std::int32_t id) {
  const std::uint32_t bits = bits_of(add(logit, 0.0F));  // one zero
  const std::uint32_t rank = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<std::uint64_t>(rank) << 24U | (0xFFFFFFU - static_cast<std::uint32_t>(id));
}
GLM_BOTH std::int32_t id_of(std::uint64_t key) {
  return static_cast<std::int32_t>(0xFFFFFFU - (static_cast<std::uint32_t>(key) & 0xFFFFFFU));
}
GLM_BOTH float logit_of(std::uint64_t key) {
  const auto rank = static_cast<std::uint32_t>(key >> 24U);
  return float_of((rank & 0x80000000U) != 0 ? rank & 0x7FFFFFFFU : ~rank);
}

// exp((logit - top) * per_temperature), top the row's largest, finite.
GLM_BOTH float weight(float logit, float top, double per_temperature) {
  return exp_of(static_cast<float>(
      mul(add(static_cast<double>(logit), -static_cast<double>(top)), per_temperature)));
}
// As a number that can be added in any order: 2^40 is 1. The sum over a row stays below 2^64.
GLM_BOTH std::uint64_t mass(float weight) {
  return static_cast<std::uint64_t>(mul(weight, 0x1p40F));
}
// The least sum that has part `top_p` of all; at least 1.
GLM_BOTH std::uint64_t mass_wanted(float top_p, std::uint64_t all) {
  const double wanted = ceil(mul(static_cast<double>(top_p), static_cast<double>(all)));
  if (!(wanted >= 1)) return 1;
  const auto whole = static_cast<std::uint64_t>(wanted);
  return whole < all ? whole : all;
}
// log(sum of exp(logit - top)), from the sum of masses.
GLM_BOTH float log_sum(std::uint64_t masses) {
  return log_of(mul(static_cast<float>(masses), 0x1p-40F));
}

}  // namespace glm::kernels::draw
