// e4m3 in product_groups.cu, in fp16, where its numbers are exact and the hardware makes them of
// codes. A scale is for whole chunks, or of a row: it is left to what comes of a chunk. Rows of
// activations are multiplied as those of fp4 (groups_fp4.cuh).
#pragma once

#include "kernels/cuda/groups_math.cuh"
#include "kernels/device/fp4_half.cuh"
#include "kernels/device/weight.cuh"
#include "kernels/device/weight_octet.cuh"

namespace glm::kernels::cuda {

struct GroupsFp8 {
  using SharedOctet = device::Fp8Octet;
  static constexpr int kMaps = 2;
  static constexpr unsigned kStageBytes = kGroupsScalesAt;
  static constexpr int kChunkColumns = kGroupsPart / kTeamWarps;
  static constexpr unsigned kChunkActivations = kTileRows * kChunkColumns * 2;

  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  // As GroupsFp4 has it.
  template <class Read>
  __device__ static void load_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                  float* units, int place, const Read& read);

  // The scales of a slab: in blocks each lane has those of one part for this warp's chunk, of the
  // upper and of the lower half; else those of its own rows, l / 4 and l / 4 + 8 of both.
  static constexpr bool kSlabScales = true;
  class SlabScales {
   public:
    __device__ void read(const Product& a, int expert, int slab, int warp);
    // Of a half in a part, for rows l / 4 and l / 4 + 8.
    __device__ float2 at(int half, int part) const {
      if (!in_blocks_) return of_[half];
      const float one = __shfl_sync(kFullWarp, of_[half].x, part);
      return {one, one};
    }

   private:
    bool in_blocks_;
    float2 of_[2] = {};
  };

  // What a lane has of a chunk: four columns of each sixteen of rows l / 4 and l / 4 + 8 of both
  // halves.
  struct Held {
    std::uint32_t words[kChunkColumns / 16][4];
  };
  __device__ static void load(std::uint32_t stage, const GroupsLane& at, Held& held) {
#pragma unroll
    for (int i = 0; i < kChunkColumns / 16; ++i) load_matrices(held.words[i], at.data(stage, i));
  }

  __device__ static void multiply(const Held& held, std::uint32_t x, const SlabScales& scales,
                                  int part, float (&sums)[2][4]);
};

__device__ inline void GroupsFp8::SlabScales::read(const Product& a, int expert, int slab,
                                                   int warp) {
  in_blocks_ = a.weight.first.groups > 1;
  const int lane = lane_index();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const device::Weight w =
        device::weight_at(a.gated && half == 1 ? a.up : a.weight, static_cast<unsigned>(expert));
    const int row =
        a.gated ? slab * kGroupsHalfRows : slab * kGroupsSlabRows + half * kGroupsHalfRows;
    if (in_blocks_) {
      const int column = lane * kGroupsPart + warp * kChunkColumns;
      if (column < a.inputs) {
        of_[half].x = device::fp8_scale(w, row, static_cast<std::uint32_t>(column)).value();
      }
    } else {
      of_[half] = {device::fp8_scale(w, row + lane / 4, 0).value(),
                   device::fp8_scale(w, row + lane / 4 + 8, 0).value()};
    }
  }
}

__device__ inline void GroupsFp8::multiply(const Held& held, std::uint32_t x,
                                           const SlabScales& scales, int part,
                                           float (&sums)[2][4]) {
  float of_chunk[2][4] = {};
#pragma unroll
  for (int two = 0; two < kChunkColumns / 32; ++two) {
    const uint4 four = shared_octets(x + two * kGroupBytes);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t top = held.words[2 * two + i][2 * half];
        const std::uint32_t bottom = held.words[2 * two + i][2 * half + 1];
        const __half2 values[4] = {device::e4m3_halves<0>(top), device::e4m3_halves<0>(bottom),
                                   device::e4m3_halves<1>(top), device::e4m3_halves<1>(bottom)};
        std::uint32_t pairs[4];
#pragma unroll
        for (int p = 0; p < 4; ++p) pairs[p] = *reinterpret_cast<const std::uint32_t*>(&values[p]);
        device::mma_16x8x16_half(of_chunk[half], pairs, i == 0 ? four.x : four.z,
                                 i == 0 ? four.y : four.w);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float2 scale = scales.at(half, part);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      sums[half][e] = fmaf(of_chunk[half][e], e < 2 ? scale.x : scale.y, sums[half][e]);
    }
  }
}

// Of each thirty-two columns a lane reads four and, of those sixteen further, four.
template <class Read>
__device__ void GroupsFp8::load_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                    float* units, int place, const Read& read) {
  const auto scale = load_scaled_row<device::HalfScale>(
      a, x, read, [&](int octet, const uint4& numbers, float factor) {
        const auto pair = [&](int i) {
          const __half2 two = __floats2half2_rn(device::octet_at(numbers, i) * factor,
                                                device::octet_at(numbers, i + 1) * factor);
          return *reinterpret_cast<const std::uint32_t*>(&two);
        };
        // Of the lane that reads the first four, in halves of what a lane reads at once.
        const auto o = static_cast<unsigned>(octet);
        uint2* to = reinterpret_cast<uint2*>(activations) + o / 4 * (kGroupBytes / 8) + 8 * place +
                    o % 2 * 4 + o / 2 % 2;
        to[0] = {pair(0), pair(2)};
        to[2] = {pair(4), pair(6)};
      });
  if (lane_index() == 0) units[place] = scale.unit();
}

}  // namespace glm::kernels::cuda
