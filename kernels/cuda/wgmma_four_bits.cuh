// How product_wgmma.cu decodes weights of four bits: int4 with scales in bf16 or f16, and fp4.
// Eight columns are a word; a stage has rows of 64 bytes, 128 columns, their chunks exchanged by
// the copy.
#pragma once

#include "kernels/cuda/shared_loads.cuh"
#include "kernels/cuda/wgmma_left_side.cuh"
#include "kernels/cuda/wgmma_scales.cuh"
#include "kernels/device/fp4.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

// By the scales of thirty-two columns of a row, pairs of weights as bf16: column i of the four in
// each half of a word, or what a lane has of a word whose columns are in their order. `second`: of
// the second sixteen columns. What comes of them is to be multiplied with the unit.

// Codes of int4 as bf16 numbers: bits b <= 256 are b * 2^-133, exactly, and in the second field of
// a byte codes, and zeros up to 16, are 16 times what they are in the first. Scales make up for
// both but for 2^-24, the unit; those from 2^-102 to 2^18 do so exactly.
class Int4Codes {
 public:
  __device__ static float unit(const device::Weight& /*w*/) { return 0x1p24F; }

 protected:
  __device__ explicit Int4Codes(__nv_bfloat162 scale) {
    constexpr std::uint32_t kFactors = 0x74007600;  // 2^109, and 2^105 of the second field
    scales_ = __hmul2(scale, numbers(kFactors));
  }
  __device__ static __nv_bfloat162 numbers(std::uint32_t bits) {
    return *reinterpret_cast<const __nv_bfloat162*>(&bits);
  }
  __device__ static std::uint32_t bits(const __nv_bfloat162& numbers) {
    return *reinterpret_cast<const std::uint32_t*>(&numbers);
  }
  __device__ static __nv_bfloat162 field(std::uint32_t word, int i) {
    return numbers((i < 2 ? word : word >> 8U) & (i % 2 == 0 ? 0x000F000FU : 0x00F000F0U));
  }
  // The first and the second field of its byte.
  __device__ static __nv_bfloat162 fields_of(std::uint32_t word, int lane) {
    const std::uint32_t byte = static_cast<std::uint32_t>(lane % 4) * 0x101U | 0x4040U;
    return numbers(__byte_perm(word, 0, byte) & 0x00F0000FU);
  }
  __device__ static __nv_bfloat162 of_field(const __nv_bfloat162& both, int i) {
    return i % 2 == 0 ? __low2bfloat162(both) : __high2bfloat162(both);
  }

  __nv_bfloat162 scales_;
};

// Without zeros: what is subtracted is eight times a scale, which is a bf16 number too, so that one
// operation decodes and rounds once, as the reference does.
class Int4Pairs : public Int4Codes {
 public:
  static constexpr WgmmaScaled kScaled = WgmmaScaled::int4;

  // The lower half of a word has the scale.
  __device__ explicit Int4Pairs(std::uint32_t scales)
      : Int4Codes(__bfloat162bfloat162(low_half(scales))) {
    constexpr std::uint32_t kEight = 0xB500B500;  // - 8 * 2^-24
    least_ = __hmul2(__bfloat162bfloat162(low_half(scales)), numbers(kEight));
  }
  __device__ static Int4Pairs as_it_lies(std::uint32_t scale) { return Int4Pairs(scale); }
  __device__ std::uint32_t operator()(std::uint32_t word, int i, bool /*second*/) const {
    return bits(__hfma2(field(word, i), of_field(scales_, i), least_));
  }
  __device__ std::uint32_t of_lane(std::uint32_t word, int lane, bool /*second*/) const {
    return bits(__hfma2(fields_of(word, lane), scales_, least_));
  }

 private:
  __nv_bfloat162 least_;
};

// A word of scales has the scale and the zero.
class Int4ZeroPairs : public Int4Codes {
 public:
  static constexpr WgmmaScaled kScaled = WgmmaScaled::int4_zeros;

  __device__ explicit Int4ZeroPairs(std::uint32_t scales)
      : Int4Codes(__bfloat162bfloat162(low_half(scales))),
        zeros_(numbers((scales >> 16U) * 0x00100001U)) {}
  __device__ std::uint32_t operator()(std::uint32_t word, int i, bool /*second*/) const {
    return bits(__hmul2(__hsub2(field(word, i), of_field(zeros_, i)), of_field(scales_, i)));
  }
  __device__ std::uint32_t of_lane(std::uint32_t word, int lane, bool /*second*/) const {
    return bits(__hmul2(__hsub2(fields_of(word, lane), zeros_), scales_));
  }

 private:
  __nv_bfloat162 zeros_;
};

// A word of scales has the scale and, as an f16 number, 1024 and the zero. Weights are f16 numbers
// first, as the reference has them.
class Int4HalfPairs {
 public:
  static constexpr WgmmaScaled kScaled = WgmmaScaled::int4_half;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  __device__ explicit Int4HalfPairs(std::uint32_t scales) {
    const auto both = *reinterpret_cast<const __half2*>(&scales);
    scale_ = __low2half2(both);
    zero_ = __high2half2(both);
  }
  __device__ std::uint32_t operator()(std::uint32_t word, int i, bool /*second*/) const {
    std::uint32_t fields = 0;
    asm("lop3.b32 %0, %1, 0x000F000F, 0x64006400, 0xEA;" : "=r"(fields) : "r"(word >> (4 * i)));
    const __half2 code = __hsub2(*reinterpret_cast<const __half2*>(&fields), zero_);
    const float2 value = __half22float2(__hmul2(code, scale_));
    return device::bf16_pair(value.x, value.y);
  }
  __device__ std::uint32_t of_lane(std::uint32_t word, int lane, bool second) const {
    return (*this)(own_columns(word, lane), 0, second);
  }

 private:
  __half2 scale_;
  __half2 zero_;
};

// A word of scales has that of the first sixteen columns and that of the others, as bf16.
class Fp4Pairs {
 public:
  static constexpr WgmmaScaled kScaled = WgmmaScaled::fp4;
  __device__ static device::Fp4Unit unit(const device::Weight& w) { return device::Fp4Unit(w); }

  __device__ explicit Fp4Pairs(std::uint32_t scales)
      : first_(low_half(scales)), second_(high_half(scales)) {}
  // Of two scales in e4m3.
  __device__ static Fp4Pairs as_it_lies(std::uint32_t scales) {
    const __nv_bfloat162 both = device::fp4_row_scales(device::ScaleType::e4m3, scales);
    return Fp4Pairs(*reinterpret_cast<const std::uint32_t*>(&both));
  }
  __device__ std::uint32_t operator()(std::uint32_t word, int i, bool second) const {
    return device::fp4_pair(word, i, second ? second_ : first_);
  }
  __device__ std::uint32_t of_lane(std::uint32_t word, int lane, bool second) const {
    return device::fp4_byte(own_byte(word, lane), second ? second_ : first_);
  }

 private:
  __nv_bfloat16 first_;
  __nv_bfloat16 second_;
};

template <class Pairs>
struct WgmmaFourBits {
  static constexpr bool kScales = true;
  static constexpr bool kCopied = false;
  static constexpr WgmmaScaled kScaled = Pairs::kScaled;
  static constexpr int kDepth = kWgmmaScaledColumns;
  static constexpr unsigned kRowBytes = 64;
  static constexpr unsigned kElementBytes = 1;  // of the map
  __device__ static auto unit(const device::Weight& w) { return Pairs::unit(w); }
};

// Columns in their order: a lane has one byte of every word. What is stored is thirty-two columns
// of both rows.
template <class Pairs>
struct WgmmaPlain : WgmmaFourBits<Pairs> {
  static constexpr bool kWholeStages = false;
  struct Stored {
    uint4 words[2];
    std::uint32_t scales[2];
  };
  __device__ static Stored read(const StagedWeights& from, int lane) {
    const unsigned chunk = (from.at ^ (static_cast<unsigned>(lane) / 8)) * 16;
    Stored own;
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      own.words[lower] = shared_octets(from.data + lower * from.data_apart + chunk);
      own.scales[lower] = shared_word(from.scales + lower * from.scales_apart + 4 * from.at);
    }
    return own;
  }
  __device__ static void decode(const Stored& own, unsigned /*at*/, int lane, LeftSide& a) {
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const uint4& words = own.words[lower];
      const Pairs pair(own.scales[lower]);
      a[0][lower] = pair.of_lane(words.x, lane, false);
      a[0][2 + lower] = pair.of_lane(words.y, lane, false);
      a[1][lower] = pair.of_lane(words.z, lane, true);
      a[1][2 + lower] = pair.of_lane(words.w, lane, true);
    }
  }
};

// Columns dealt (device/dealt_columns.cuh): a lane has all of a word, and 32 columns with scales of
// their own. What is stored is a whole stage of both rows. kCopy: scales are copied as they lie.
template <class Pairs, bool kCopy = false>
struct WgmmaDealt : WgmmaFourBits<Pairs> {
  static constexpr bool kWholeStages = true;
  static constexpr bool kCopied = kCopy;
  static constexpr bool kScales = !kCopied;
  struct Stored {
    uint4 words[2];
    std::uint32_t scales[2];
  };
  __device__ static Stored read(const StagedWeights& from, int lane) {
    const unsigned part = static_cast<unsigned>(lane) % 4;
    const unsigned chunk = (part ^ (static_cast<unsigned>(lane) / 8)) * 16;
    Stored own;
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      own.words[lower] = shared_octets(from.data + lower * from.data_apart + chunk);
      const std::uint32_t scales = from.scales + lower * from.scales_apart;
      own.scales[lower] = kCopied ? shared_half(scales + 2 * part) : shared_word(scales + 4 * part);
    }
    return own;
  }
  // at: which thirty-two columns of those dealt.
  __device__ static void decode(const Stored& own, unsigned at, int /*lane*/, LeftSide& a) {
#pragma unroll
    for (unsigned lower = 0; lower < 2; ++lower) {
      const uint4& words = own.words[lower];
      const std::uint32_t word = at == 0   ? words.x
                                 : at == 1 ? words.y
                                 : at == 2 ? words.z
                                           : words.w;
      const Pairs pair = pairs_of(own.scales[lower]);
      a[0][lower] = pair(word, 0, at >= 2);
      a[0][2 + lower] = pair(word, 1, at >= 2);
      a[1][lower] = pair(word, 2, at >= 2);
      a[1][2 + lower] = pair(word, 3, at >= 2);
    }
  }

 private:
  __device__ static Pairs pairs_of(std::uint32_t scales) {
    if constexpr (kCopied) {
      return Pairs::as_it_lies(scales);
    } else {
      return Pairs(scales);
    }
  }
};

}  // namespace glm::kernels::cuda
