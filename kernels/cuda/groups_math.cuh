// The arithmetic of product_groups.cu on parts in shared memory (groups_plan.h).
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/groups_plan.h"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

constexpr int kChunkGroups = kChunk / 32;
constexpr int kPartGroups = kGroupsPart / 32;

// d = a * b + c, otherwise as device::mma_16x8x16().
__device__ inline void mma_from(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1, float c0, float c1, float c2, float c3) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};\n"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c0), "f"(c1), "f"(c2),
        "f"(c3));
}

// As device::load_matrices(), but it may move among what does not write.
__device__ inline void load_matrices(std::uint32_t (&out)[4], std::uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(row));
}
__device__ inline uint2 load_eight_bytes(std::uint32_t from) {
  uint2 bytes;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(bytes.x), "=r"(bytes.y) : "r"(from));
  return bytes;
}

// Where a lane reads in a stage.
struct GroupsLane {
  std::uint32_t data[kChunkGroups];
  std::uint32_t scales;

  __device__ explicit GroupsLane(int warp) {
    const auto lane = static_cast<unsigned>(lane_index());
    const auto chunk = static_cast<unsigned>(warp);
    // Of the matrix l / 8: rows 0 to 7 of the first half, 8 to 15, then of the second half.
    const unsigned row = lane / 8 % 2 * 8 + lane % 8;
    const unsigned first =
        lane / 16 * kGroupsHalfData + chunk / 2 * (kGroupsHalfRows * 128) + row * 128;
#pragma unroll
    for (unsigned g = 0; g < kChunkGroups; ++g) {
      data[g] = first + ((chunk % 2 * kChunkGroups + g) ^ row % 8) * 16;
    }
    const unsigned scales_row = lane / 4;
    scales =
        kGroupsScalesAt + scales_row * 32 + (chunk / 2 ^ scales_row / 4 % 2) * 16 + chunk % 2 * 8;
  }
};

// int4 in groups of thirty-two columns: two products of the tensor cores cover one group of sixteen
// rows, so that its scale is left for their sum. Codes become 128 + code by one logical operation;
// what that is too much, 136 times the group's activations, is where the sum begins.
struct GroupsInt4 {
  static constexpr bool kPlainRows = true;  // of activations: in bf16, with what sums begin with
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
  __device__ static float row_unit(const float* /*begins*/, int /*place*/) { return 1; }

  // 128 + code of columns i and i + 4 of the eight in a word.
  __device__ static std::uint32_t pair(std::uint32_t word, int i) {
    std::uint32_t fields = 0;
    asm("lop3.b32 %0, %1, 0x000F000F, 0x43004300, 0xEA;" : "=r"(fields) : "r"(word >> (4 * i)));
    return fields;
  }

  // What a lane has of a chunk.
  struct Held {
    std::uint32_t words[kChunkGroups][4];
    uint2 scales[2][2];  // of rows l / 4 and l / 4 + 8 of both halves
  };
  __device__ static void load(std::uint32_t stage, const GroupsLane& at, Held& held) {
#pragma unroll
    for (int g = 0; g < kChunkGroups; ++g) load_matrices(held.words[g], stage + at.data[g]);
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      const std::uint32_t from = stage + at.scales + half * kGroupsHalfScales;
      held.scales[half][0] = load_eight_bytes(from);
      held.scales[half][1] = load_eight_bytes(from + kGroupsHalfScales / 2);
    }
  }

  // sums[half] += the rows of a half of a slab times activations, over a chunk. x and begin point
  // to what this lane has of the chunk's first group.
  __device__ static void multiply(const Held& held, const uint4* x, const float4* begin,
                                  float (&sums)[2][4]) {
    const auto& scales = held.scales;
    // Two groups at a time, whose products do not wait for each other.
#pragma unroll
    for (int first = 0; first < kChunkGroups; first += 2) {
      uint4 four[2];
      float parts[2][2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) four[i] = x[(first + i) * 32];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float4 from = begin[(first + i) * 4];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t upper = held.words[first + i][2 * half];
          const std::uint32_t lower = held.words[first + i][2 * half + 1];
          const std::uint32_t front[4] = {pair(upper, 0), pair(lower, 0), pair(upper, 1),
                                          pair(lower, 1)};
          mma_from(parts[i][half], front, four[i].x, four[i].y, from.x, from.y, from.z, from.w);
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const std::uint32_t upper = held.words[first + i][2 * half];
          const std::uint32_t lower = held.words[first + i][2 * half + 1];
          const std::uint32_t back[4] = {pair(upper, 2), pair(lower, 2), pair(upper, 3),
                                         pair(lower, 3)};
          float(&part)[4] = parts[i][half];
          mma_from(part, back, four[i].z, four[i].w, part[0], part[1], part[2], part[3]);
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
          for (int row = 0; row < 2; ++row) {
            const uint2& of_row = scales[half][row];
            const std::uint32_t two = first == 0 ? of_row.x : of_row.y;
            const float scale = i == 0 ? device::bf16_low(two) : device::bf16_high(two);
#pragma unroll
            for (int e = 2 * row; e < 2 * row + 2; ++e) {
              sums[half][e] = fmaf(parts[i][half][e], scale, sums[half][e]);
            }
          }
        }
      }
    }
  }
};

}  // namespace glm::kernels::cuda
