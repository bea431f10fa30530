// How tensor-core kernels get at weights: a raw piece is read early, so that its latency passes
// during other work, and turned into bf16 when it is needed. One struct per way of storing.
//
// A lane reads kColumns consecutive columns of a row. Ready is what it has once all of them have
// come. pair(ready, s, i), i = 0 and 1, are its two registers of step s of kColumns / 4 steps; the
// order of columns within eight is the one in which arrange() puts activations. octet(ready, j) are
// columns [8j, 8j + 8) in their order. Sums are to be multiplied with unit().
#pragma once

#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::device {

__device__ inline std::uint32_t word_of(const uint4& four, int i) {
  return i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w;
}

// Weights that are bf16 in memory.
struct FetchBf16 {
  static constexpr int kColumns = 8;
  static constexpr int kInFlight = 4;  // pieces a lane reads before it uses the first
  using Raw = uint4;
  using Ready = Raw;
  __device__ static Ready ready(const Raw& raw) { return raw; }
  __device__ static Raw read(const Weight& w, std::int64_t row, std::uint32_t c) {
    return __ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + 2 * c));
  }
  __device__ static std::uint32_t pair(const Raw& raw, int step, int i) {
    return word_of(raw, 2 * step + i);
  }
  __device__ static uint4 octet(const Raw& raw, int /*j*/) { return raw; }
  __device__ static uint4 arrange(const uint4& x) { return x; }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};

// Any format, decoded while it is read.
struct FetchAny : FetchBf16 {
  static constexpr int kInFlight = 2;
  __device__ static Raw read(const Weight& w, std::int64_t row, std::uint32_t c) {
    return bf16x8(w, row, c);
  }
};

// e4m3 with scales as Fp8Scale reads them, for whole sixteens. What is multiplied is the scale
// rounded to bf16.
struct FetchFp8 {
  static constexpr int kColumns = 16;
  static constexpr int kInFlight = 2;
  struct Raw {
    uint4 bytes;
    Fp8Scale scale;
  };
  struct Ready {
    uint4 octets[2];
  };
  __device__ static Ready ready(const Raw& raw) {
    const float scale = raw.scale.value();
    return {{scaled_e4m3x8({raw.bytes.x, raw.bytes.y}, scale),
             scaled_e4m3x8({raw.bytes.z, raw.bytes.w}, scale)}};
  }
  __device__ static Raw read(const Weight& w, std::int64_t row, std::uint32_t c) {
    return {__ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + c)),
            fp8_scale(w, row, c)};
  }
  __device__ static std::uint32_t pair(const Ready& from, int step, int i) {
    return word_of(from.octets[step / 2], 2 * (step % 2) + i);
  }
  __device__ static uint4 octet(const Ready& from, int j) { return from.octets[j]; }
  __device__ static uint4 arrange(const uint4& x) { return x; }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};

// int4 with bf16 scales and groups of whole thirty-twos.
struct FetchInt4 {
  static constexpr int kColumns = 32;
  static constexpr int kInFlight = 2;
  struct Raw {
    uint4 words;
    Int4Group group;
  };
  using Ready = Raw;
  __device__ static Ready ready(const Raw& raw) { return raw; }
  __device__ static Raw read(const Weight& w, std::int64_t row, std::uint32_t c) {
    return {__ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + c / 2)),
            int4_group(w, row, c)};
  }
  __device__ static std::uint32_t pair(const Raw& raw, int step, int i) {
    return int4_pair(word_of(raw.words, step / 2), 2 * (step % 2) + i, raw.group);
  }
  __device__ static uint4 octet(const Raw& raw, int j) {
    return int4_word(word_of(raw.words, j), raw.group);
  }
  __device__ static uint4 arrange(const uint4& x) { return int4_order(x); }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};

// The same with f16 scales.
struct FetchInt4Half {
  static constexpr int kColumns = 32;
  static constexpr int kInFlight = 2;
  struct Raw {
    uint4 words;
    std::uint16_t scale;
    std::uint8_t zero;
  };
  struct Ready {
    uint4 words;
    Int4SplitGroup group;
  };
  __device__ static Ready ready(const Raw& raw) {
    return {raw.words, int4_split_group(ScaleType::f16, raw.scale, raw.zero)};
  }
  __device__ static std::uint16_t scale_of(const Weight& w, std::int64_t row, std::uint32_t c) {
    return static_cast<const std::uint16_t*>(w.scales)[row * w.groups + (c >> w.group_shift)];
  }
  __device__ static std::uint8_t zero_of(const Weight& w, std::int64_t row, std::uint32_t c) {
    return w.zeros == nullptr ? std::uint8_t{8} : w.zeros[row * w.groups + (c >> w.group_shift)];
  }
  __device__ static Raw read(const Weight& w, std::int64_t row, std::uint32_t c) {
    return {__ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + c / 2)),
            scale_of(w, row, c), zero_of(w, row, c)};
  }
  __device__ static std::uint32_t pair(const Ready& from, int step, int i) {
    return int4_split_pair(word_of(from.words, step / 2), 2 * (step % 2) + i, from.group);
  }
  __device__ static uint4 octet(const Ready& from, int j) {
    return int4_split_word(word_of(from.words, j), from.group);
  }
  __device__ static uint4 arrange(const uint4& x) { return int4_order(x); }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};

// e2m1 with e4m3 scales for sixteen columns, or e8m0 scales for thirty-two.
struct FetchFp4 {
  static constexpr int kColumns = 32;
  static constexpr int kInFlight = 2;
  struct Raw {
    uint4 words;
    std::uint32_t scales;
    ScaleType type;
  };
  struct Ready {
    uint4 words;
    __nv_bfloat162 scales;  // of the first two words and of the others
  };
  __device__ static std::uint32_t scales(const Weight& w, std::int64_t row, std::uint32_t c) {
    const auto* all = static_cast<const std::uint8_t*>(w.scales) + row * w.groups;
    return w.scale_type == ScaleType::e8m0
               ? all[c / 32]
               : *reinterpret_cast<const std::uint16_t*>(all + c / 32 * 2);
  }
  __device__ static Ready ready(const Raw& raw) {
    return {raw.words, fp4_row_scales(raw.type, raw.scales)};
  }
  __device__ static __nv_bfloat16 scale(const Ready& from, int word) {
    return word < 2 ? __low2bfloat16(from.scales) : __high2bfloat16(from.scales);
  }
  __device__ static Raw read(const Weight& w, std::int64_t row, std::uint32_t c) {
    return {__ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + c / 2)),
            scales(w, row, c), w.scale_type};
  }
  __device__ static std::uint32_t pair(const Ready& from, int step, int i) {
    const int word = step / 2;
    return fp4_pair(word_of(from.words, word), 2 * (step % 2) + i, scale(from, word));
  }
  __device__ static uint4 octet(const Ready& from, int j) {
    return fp4_word(word_of(from.words, j), scale(from, j));
  }
  __device__ static uint4 arrange(const uint4& x) { return int4_order(x); }
  __device__ static Fp4Unit unit(const Weight& w) { return Fp4Unit(w); }
};

}  // namespace glm::kernels::device
