// nvfp4 in product_groups.cu: a scale every sixteen columns, which two lanes of four have of every
// word; so it is multiplied into the weights.
//
// Arithmetic is what takes the time: weights and activations are fp16 (device/fp4_half.cuh). Rows
// are multiplied so that their largest number comes to the top of the range: what is less than
// 2^-39 of that is lost.
#pragma once

#include "kernels/cuda/groups_math.cuh"
#include "kernels/device/fp4_half.cuh"
#include "kernels/device/weight_octet.cuh"

namespace glm::kernels::cuda {

struct GroupsFp4 : GroupsFourBits {
  using SharedOctet = device::Fp4Octet;
  __device__ static device::Fp4Unit unit(const device::Weight& w) {
    return device::fp4_half_unit(w);
  }

  // By a whole warp: row `place` of the tile. Calls `read` when the row has been read.
  template <class Read>
  __device__ static void load_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                  float* units, int place, const Read& read);

  // What a lane has of a chunk.
  struct Held {
    std::uint32_t words[kChunkGroups][4];
    __half2 scales[2][2][kChunkGroups / 2];
  };
  __device__ static void load(std::uint32_t stage, const GroupsLane& at, Held& held) {
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) load_matrices(held.words[g], at.data(stage, g));
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t from = at.scales(stage) + half * kGroupsHalfScales;
      load_scales(from, held.scales[half][0]);
      load_scales(from + kGroupsHalfScales / 2, held.scales[half][1]);
    }
  }

  __device__ static void multiply(const Held& held, std::uint32_t x, const SlabScales& /*scales*/,
                                  int /*part*/, float (&sums)[2][4]) {
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) {
      const uint4 four = shared_octets(x + g * kGroupBytes);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        std::uint32_t pairs[2][4];  // of rows l / 4 and l / 4 + 8
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          const __half2 two = held.scales[half][row][g / 2];
          device::fp4_half_pairs(held.words[g][2 * half + row],
                                 g % 2 == 0 ? __low2half2(two) : __high2half2(two), pairs[row]);
        }
        const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
        const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
        device::mma_16x8x16_half(sums[half], front, four.x, four.y);
        device::mma_16x8x16_half(sums[half], back, four.z, four.w);
      }
    }
  }

 private:
  // Of one row, those of this lane's words, of the eight of a chunk.
  __device__ static void load_scales(std::uint32_t from, __half2 (&scales)[kChunkGroups / 2]) {
    const uint2 bytes = shared_pair(from);
    const bool second = lane_index() % 4 >= 2;
    const std::uint32_t own = __byte_perm(bytes.x, bytes.y, second ? 0x7531 : 0x6420);
    scales[0] = device::e4m3_halves<0>(own);
    scales[1] = device::e4m3_halves<1>(own);
  }
};

template <class Read>
__device__ void GroupsFp4::load_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                    float* units, int place, const Read& read) {
  const auto scale = load_scaled_row<device::HalfScale>(
      a, x, read, [&](int octet, const uint4& numbers, float factor) {
        octet_of_row(activations, place, octet) = device::half_octet(numbers, factor);
      });
  if (lane_index() == 0) units[place] = scale.unit();
}

}  // namespace glm::kernels::cuda
