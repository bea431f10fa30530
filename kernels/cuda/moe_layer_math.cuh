// Products of moe_layer.cu and moe_front.cu with slabs in shared memory, for one tile of
// activations.
//
// A lane multiplies thirty-two columns of a chunk at a time: four octets of its row of activations,
// which lie next to each other.
#pragma once

#include <type_traits>

#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/moe_layer_fp8.cuh"
#include "kernels/device/fp4_half.cuh"

namespace glm::kernels::cuda {

// Two neighbouring rows in shared memory begin in different banks (kRowShift). So do octets that
// lanes of a quarter of a warp read of one, where every other eight have their neighbours
// exchanged.
__device__ inline int exchanged(int octet) {
  return octet ^ (octet / 8 % 2);
}
// The same for number `word` of a lane's octets.
__device__ inline int exchanged_word(int word) {
  return word ^ (lane_index() % 4 / 2);
}

// nvfp4 behind a front: first halves in fp16, second halves, whose activations come from many
// blocks, in bf16.
struct FrontedFp4 : BulkFp4 {
  __device__ static Group group(const device::Weight& /*w*/, const StagedGroup& at) {
    return device::fp4_row_scales(device::ScaleType::e4m3,
                                  *reinterpret_cast<const std::uint16_t*>(at.scales));
  }
};
struct HalfFp4 {
  static constexpr unsigned kScaleBytes = 1;
  using Group = __half2;  // of sixteen columns each
  __device__ static Group group(const device::Weight& /*w*/, const StagedGroup& at) {
    return device::e4m3_halves<0>(*reinterpret_cast<const std::uint16_t*>(at.scales));
  }
  __device__ static device::Fp4Unit unit(const device::Weight& w) {
    return device::fp4_half_unit(w);
  }
};
// What of a slab's scales does not come with its stage.
struct NoSlabScales {
  template <class... From>
  __device__ explicit NoSlabScales(const From&... /*from*/) {}
};
template <class Codec>
using SlabScales = std::conditional_t<std::is_same_v<Codec, BulkFp8>, Fp8SlabScales, NoSlabScales>;

template <class Codec>
using FirstHalf = std::conditional_t<std::is_same_v<Codec, FrontedFp4>, HalfFp4, Codec>;

// Eight columns of a row, and a tile of them times activations.
template <class Codec>
__device__ inline void decode_word(std::uint32_t bits, int word, const typename Codec::Group& group,
                                   std::uint32_t (&pairs)[4]) {
  if constexpr (std::is_same_v<Codec, HalfFp4>) {
    device::fp4_half_pairs(bits, word < 2 ? __low2half2(group) : __high2half2(group), pairs);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = Codec::pair(bits, word, i, group);
  }
}
template <class Codec>
__device__ inline void multiply_tile(float (&sums)[4], const std::uint32_t (&a)[4],
                                     std::uint32_t b0, std::uint32_t b1) {
  if constexpr (std::is_same_v<Codec, HalfFp4>) {
    device::mma_16x8x16_half(sums, a, b0, b1);
  } else {
    device::mma_16x8x16(sums, a, b0, b1);
  }
}

// sums += slab * activations over every kTeamWarps-th chunk from `first` on: octet(chunk, word) are
// a lane's activations in int4_order(), for HalfFp4 in fp16. Two chains of sums, as each product
// waits for the one before.
template <class Codec, class Octet>
__device__ inline void multiply_four_bit_slab(const device::Weight& weight, const BulkPlan& plan,
                                              const std::uint8_t* stage, int first, int step,
                                              int chunks, const Octet& octet, float (&sums)[4]) {
  LaneRows<Codec> rows(weight, plan, stage, first);
  float back_sums[4] = {};
#pragma unroll 1
  for (int chunk = first; chunk < chunks; chunk += step * kTeamWarps) {
    const LaneChunk<Codec> w(weight, rows);
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t bits = word == 0   ? w.words[half].x
                                   : word == 1 ? w.words[half].y
                                   : word == 2 ? w.words[half].z
                                               : w.words[half].w;
        decode_word<Codec>(bits, word, w.groups[half], pairs[half]);
      }
      const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
      const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
      const uint4 x = octet(chunk, word);
      multiply_tile<Codec>(sums, front, x.x, x.y);
      multiply_tile<Codec>(back_sums, back, x.z, x.w);
    }
    for (int i = 0; i < step; ++i) rows.advance();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) sums[i] += back_sums[i];
}

// The same of any codes, with SlabScales.
template <class Codec, class Octet>
__device__ inline void multiply_slab(const device::Weight& weight, const BulkPlan& plan,
                                     const std::uint8_t* stage, int first, int step, int chunks,
                                     const SlabScales<Codec>& scales, const Octet& octet,
                                     float (&sums)[4]) {
  if constexpr (std::is_same_v<Codec, BulkFp8>) {
    return multiply_fp8_slab(plan, stage, first, step, chunks, scales, octet, sums);
  } else {
    multiply_four_bit_slab<Codec>(weight, plan, stage, first, step, chunks, octet, sums);
  }
}

}  // namespace glm::kernels::cuda
