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
  __device__ static float unit(const Weight& w) { return fp4_unit(w); }
};
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
