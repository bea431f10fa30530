// Eight columns of one row of a weight, read early and decoded to bf16 when they are needed. One
// struct per way of storing. Sums are to be multiplied with unit().
#pragma once

#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::device {

struct Bf16Octet {
  uint4 values = {};
  __device__ void read(const Weight& w, std::int64_t row, std::uint32_t c) {
    values = __ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + 2 * c));
  }
  __device__ uint4 decoded(const Weight& /*w*/) const { return values; }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};
// bf16 scales, and groups of whole thirty-twos.
struct Int4Octet {
  std::uint32_t word = 0;
  Int4Group group = {};
  __device__ void read(const Weight& w, std::int64_t row, std::uint32_t c) {
    word = __ldg(reinterpret_cast<const std::uint32_t*>(w.data + row * w.row_bytes + c / 2));
    group = int4_group(w, row, c);
  }
  __device__ uint4 decoded(const Weight& /*w*/) const { return int4_word(word, group); }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};
// e2m1 with e4m3 or e8m0 scales.
struct Fp4Octet {
  std::uint32_t word = 0;
  std::uint8_t scale = 0;
  __device__ void read(const Weight& w, std::int64_t row, std::uint32_t c) {
    word = __ldg(reinterpret_cast<const std::uint32_t*>(w.data + row * w.row_bytes + c / 2));
    scale = static_cast<const std::uint8_t*>(w.scales)[row * w.groups + (c >> w.group_shift)];
  }
  __device__ uint4 decoded(const Weight& w) const {
    return fp4_word(word, fp4_scale(w.scale_type, scale));
  }
  __device__ static Fp4Unit unit(const Weight& w) { return Fp4Unit(w); }
};
// e4m3 with scales as Fp8Scale reads them.
struct Fp8Octet {
  uint2 bytes = {};
  Fp8Scale scale = {};
  __device__ void read(const Weight& w, std::int64_t row, std::uint32_t c) {
    bytes = __ldg(reinterpret_cast<const uint2*>(w.data + row * w.row_bytes + c));
    scale = fp8_scale(w, row, c);
  }
  __device__ uint4 decoded(const Weight& /*w*/) const {
    return scaled_e4m3x8(bytes, scale.value());
  }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};
// Column by column pairs of two rows, the first in the low half.
template <class Octet>
__device__ void row_pairs(const Octet& first, const Octet& second, const Weight& w,
                          std::uint32_t (&pairs)[8]) {
  const uint4 a = first.decoded(w);
  const uint4 b = second.decoded(w);
  const std::uint32_t words[2][4] = {{a.x, a.y, a.z, a.w}, {b.x, b.y, b.z, b.w}};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    pairs[i] = __byte_perm(words[0][i / 2], words[1][i / 2], i % 2 == 0 ? 0x5410 : 0x7632);
  }
}
// Side by side, halves of the words of two rows have a column of both where one word has a column
// and the fourth on.
__device__ inline void row_pairs(const Int4Octet& first, const Int4Octet& second,
                                 const Weight& /*w*/, std::uint32_t (&pairs)[8]) {
  const auto zero = [](const Int4Octet& of) { return 128.0F + static_cast<float>(of.group.zero); };
  const __nv_bfloat162 scales = __halves2bfloat162(first.group.scale, second.group.scale);
  const __nv_bfloat162 zeros = __floats2bfloat162_rn(zero(first), zero(second));
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t halves = __byte_perm(first.word, second.word, i < 4 ? 0x5410 : 0x7632);
    pairs[i] = int4_pair(halves, i % 4, scales, zeros);
  }
}
__device__ inline void row_pairs(const Fp4Octet& first, const Fp4Octet& second, const Weight& w,
                                 std::uint32_t (&pairs)[8]) {
  const __nv_bfloat162 scales = fp4_scales(w.scale_type, first.scale, second.scale);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t halves = __byte_perm(first.word, second.word, i < 4 ? 0x5410 : 0x7632);
    pairs[i] = fp4_pair(halves, i % 4, scales);
  }
}

// Any format.
struct AnyOctet {
  StoredOctet stored;
  bool there = false;
  __device__ void read(const Weight& w, std::int64_t row, std::uint32_t c) {
    stored = stored_octet(w, row, c);
    there = true;
  }
  // Nothing may stand for a number where nothing was read: what it is multiplied with is zero.
  __device__ uint4 decoded(const Weight& w) const {
    return there ? device::decoded(w, stored) : uint4{};
  }
  __device__ static float unit(const Weight& /*w*/) { return 1; }
};

}  // namespace glm::kernels::device
