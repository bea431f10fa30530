// The arithmetic of product_groups.cu on parts in shared memory (groups_plan.h).
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/groups_plan.h"
#include "kernels/cuda/groups_rows.cuh"
#include "kernels/cuda/shared_loads.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/planes.cuh"
#include "kernels/device/weight_octet.cuh"

namespace glm::kernels::cuda {

constexpr int kChunkGroups = kChunk / 32;
// Of activations in shared memory, for each group.
constexpr unsigned kGroupBytes = kTileRows * 32 * 2;

// As device::load_matrices(), but ordinary loads and stores may move past it.
__device__ inline void load_matrices(std::uint32_t (&out)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row));
}

// Where a lane reads in a stage.
class GroupsLane {
 public:
  __device__ explicit GroupsLane(int warp) {
    const auto lane = static_cast<unsigned>(lane_index());
    const auto chunk = static_cast<unsigned>(warp);
    // Of the matrix l / 8: rows 0 to 7 of the first half, 8 to 15, then of the second half.
    const unsigned row = lane / 8 % 2 * 8 + lane % 8;
    data_ = lane / 16 * kGroupsHalfData + chunk / 2 * (kGroupsHalfRows * 128) + row * 128 +
            (chunk % 2 * kChunkGroups ^ row % 8) * 16;
    const unsigned scales_row = lane / 4;
    scales_ =
        kGroupsScalesAt + scales_row * 32 + (chunk / 2 ^ scales_row / 4 % 2) * 16 + chunk % 2 * 8;
  }
  // In a stage, which is at a multiple of 128.
  __device__ std::uint32_t data(std::uint32_t stage, int group) const {
    return (stage + data_) ^ (static_cast<unsigned>(group) * 16);
  }
  __device__ std::uint32_t scales(std::uint32_t stage) const { return stage + scales_; }

 private:
  std::uint32_t data_;
  std::uint32_t scales_;
};

// What codings of four bits have in common.
struct GroupsFourBits {
  static constexpr int kMaps = 4;
  static constexpr unsigned kStageBytes = kGroupsStage;
  static constexpr unsigned kChunkActivations = kChunkGroups * kGroupBytes;
  // Scales come with the stages.
  static constexpr bool kSlabScales = false;
  struct SlabScales {};
};

// int4 in groups of thirty-two columns: products of the tensor cores cover a group of sixteen rows,
// so that its scale is left for what comes of it. Arithmetic is what takes the time, most of it
// that which makes operands of codes: for whole numbers of eight bits it takes three instructions
// for eight of them, for bf16 seven. So rows of activations are two planes of whole numbers
// (device/planes.cuh), each with a product of its own.
struct GroupsInt4 : GroupsFourBits {
  using SharedOctet = device::Bf16Octet;  // published int4 leaves the shared expert in bf16
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  // By a whole warp: row `place` of the tile, and in `units` what its sums are to be multiplied
  // with. Each lane will read its own sixteen bytes of a group. Calls `read` when the row has been
  // read.
  template <class Read>
  __device__ static void load_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                  float* units, int place, const Read& read);

  // What a lane has of a chunk.
  struct Held {
    std::uint32_t words[kChunkGroups][4];
    uint2 scales[2][2];  // of rows l / 4 and l / 4 + 8 of both halves
  };
  __device__ static void load(std::uint32_t stage, const GroupsLane& at, Held& held) {
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) load_matrices(held.words[g], at.data(stage, g));
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t from = at.scales(stage) + half * kGroupsHalfScales;
      held.scales[half][0] = shared_pair(from);
      held.scales[half][1] = shared_pair(from + kGroupsHalfScales / 2);
    }
  }

  // sums[half] += the rows of a half of a slab times activations, over a chunk. At `x` is what
  // this lane has of the chunk.
  __device__ static void multiply(const Held& held, std::uint32_t x, const SlabScales& /*scales*/,
                                  int /*part*/, float (&sums)[2][4]) {
    // Sums begin with the bits of 2^23 + 2^22 and are read as floats, which are that much too much.
    constexpr int kBegin = 0x4B400000;
    constexpr float kTooMuch = 12582912.0F;
    constexpr float kUpper = 256;
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) {
      const uint4 planes = shared_octets(x + g * kGroupBytes);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t top = held.words[g][2 * half];
        const std::uint32_t bottom = held.words[g][2 * half + 1];
        const std::uint32_t codes[4] = {
            device::sixteenfold_codes(top << 4U), device::sixteenfold_codes(bottom << 4U),
            device::sixteenfold_codes(top), device::sixteenfold_codes(bottom)};
        int upper[4];
        int lower[4];
        device::mma_16x8x32(upper, codes, planes.x, planes.y, kBegin);
        device::mma_16x8x32(lower, codes, planes.z, planes.w, kBegin);
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          const uint2& of_row = held.scales[half][row];
          const std::uint32_t two = g < 2 ? of_row.x : of_row.y;
          const float scale = g % 2 == 0 ? device::bf16_low(two) : device::bf16_high(two);
#pragma unroll
          for (int e = 2 * row; e < 2 * row + 2; ++e) {
            // Both are exact: `whole` is a multiple of 16 below 2^28. What the lower one is too
            // much is taken from the upper one.
            const float above = __int_as_float(upper[e]) - (kTooMuch + kTooMuch / kUpper);
            const float whole = fmaf(above, kUpper, __int_as_float(lower[e]));
            sums[half][e] = fmaf(whole, scale, sums[half][e]);
          }
        }
      }
    }
  }
};

template <class Read>
__device__ void GroupsInt4::load_row(const Product& a, const uint4* x, std::uint8_t* activations,
                                     float* units, int place, const Read& read) {
  constexpr float kOfSixteenfold = 1.0F / 16;
  const auto scale = load_scaled_row<device::PlanesScale>(
      a, x, read, [&](int octet, const uint4& numbers, float factor) {
        octet_of_row(activations, place, octet) = device::planes_of(numbers, factor);
      });
  if (lane_index() == 0) units[place] = scale.unit() * kOfSixteenfold;
}

}  // namespace glm::kernels::cuda
