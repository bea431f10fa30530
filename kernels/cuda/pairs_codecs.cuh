// How product_pairs.cu decodes a row, of which a lane needs columns 2(l%4), + 1 of every eight. Of
// four bits it reads thirty-two columns at a time, four words of eight, and a half of a unit of a
// row has eight bytes of scales in either coding.
#pragma once

#include "kernels/cuda/pairs_plan.h"
#include "kernels/cuda/wgmma_codecs.cuh"
#include "kernels/device/fp4.cuh"
#include "kernels/device/fp8.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {

constexpr unsigned kPairPieces = kPairHalf / 32;  // of a row

struct PairsFourBits {
  static constexpr unsigned kBits = 4;
  // Scales are copied.
  struct RowScales {};
};

// As prompts decode it. Products are to be multiplied by unit(), as those of nvfp4.
struct PairsInt4 : PairsFourBits {
  __device__ static float unit(const device::Weight& w) { return Int4Pairs::unit(w); }

  struct Scales {
    uint2 four;
    __device__ explicit Scales(const uint2& bytes) : four(bytes) {}
  };
  // What the lane has of a word: one of the first two of `piece`, or (`second` is 1) of the others.
  __device__ static std::uint32_t pair(std::uint32_t word, int lane, const Scales& scales,
                                       unsigned piece, unsigned /*second*/) {
    const std::uint32_t two = piece < 2 ? scales.four.x : scales.four.y;
    return Int4Pairs(piece % 2 == 0 ? two : two >> 16U).of_lane(word, lane, false);
  }
};

// nvfp4.
struct PairsFp4 : PairsFourBits {
  __device__ static device::Fp4Unit unit(const device::Weight& w) { return device::Fp4Unit(w); }

  struct Scales {
    __nv_bfloat162 of[kPairPieces];  // of sixteen columns each
    __device__ explicit Scales(const uint2& bytes) {
#pragma unroll
      for (unsigned piece = 0; piece < kPairPieces; ++piece) {
        const std::uint32_t four = piece < 2 ? bytes.x : bytes.y;
        of[piece] = device::fp4_scales(device::ScaleType::e4m3,
                                       __byte_perm(four, 0, piece % 2 == 0 ? 0x1404 : 0x3424));
      }
    }
  };
  __device__ static std::uint32_t pair(std::uint32_t word, int lane, const Scales& scales,
                                       unsigned piece, unsigned second) {
    const __nv_bfloat162& two = scales.of[piece];
    return device::fp4_byte(own_byte(word, lane),
                            second == 0 ? __low2bfloat16(two) : __high2bfloat16(two));
  }
};

// e4m3, whose scales are read from memory.
struct PairsFp8 {
  static constexpr unsigned kBits = 8;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  // Of a lane's two rows.
  struct RowScales {
    device::Fp8RowScales of[2];
  };
  struct Scales {
    __nv_bfloat162 factors;
    __device__ explicit Scales(const device::Fp8Scale& scale)
        : factors(__float2bfloat162_rn(scale.value() * 0x1p120F)) {}
  };
};

}  // namespace glm::kernels::cuda
