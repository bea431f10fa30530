// How expert_flow.cu multiplies what lies in a stage: 128 bytes of each row of weights.
//
// A codec has the columns of a stage, in boxes of kFlowDepth columns of activations; put_octet()
// and place() say where columns lie in rows of activations that blocks leave for each other.
#pragma once

#include "kernels/cuda/expert_choice.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda {

struct ExpertBf16 {
  static constexpr int kDepth = kFlowDepth;
  static constexpr int kBoxes = 1;
  static constexpr int kFewestRows = 8;
  static constexpr bool kOrders = false;  // columns are in another order

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __device__ static int place(int column) {
    return column;
  }
  __device__ static void put_octet(__nv_bfloat16* row, int column, const uint4& octet) {
    device::write_octet(row + column, octet);
  }
  template <int kRows>
  __device__ static void multiply(const ExpertHalf& half, const Tile& tile, bool /*gated*/,
                                  FlowRing& ring, float (&sums)[kRows / 2]) {
    flow_multiply<kRows>(ring, tile.units * kExpertUnitRows, half.steps, sums);
  }
#endif
};

// e4m3, decoded in registers as the left side of products: exactly, as scales are left to the sums
// over a stage's columns.
//
// Of 128 columns a lane reads the pieces of sixteen bytes 2 (l % 4) and the next one, so that no
// bank is met twice. Word s of piece 2q + h has the columns that lane q has in sixteen 4h + s of
// products, two and two: there the activations' columns are.
struct ExpertFp8 {
  static constexpr int kDepth = 128;
  static constexpr int kBoxes = kDepth / kFlowDepth;
  static constexpr int kFewestRows = 32;
  static constexpr bool kOrders = true;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  __device__ static int place(int column) {
    const int in = column % kDepth;
    const int piece = in / 16;
    const int sixteen = 4 * (piece % 2) + in % 16 / 4;
    return column - in + 16 * sixteen + in % 4 / 2 * 8 + piece / 2 * 2 + in % 2;
  }
  __device__ static void put_octet(__nv_bfloat16* row, int column, const uint4& octet) {
    const std::uint32_t pairs[4] = {octet.x, octet.y, octet.z, octet.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      *reinterpret_cast<std::uint32_t*>(row + place(column + 2 * i)) = pairs[i];
    }
  }

  // Of a row of weights, over the columns of a step.
  class Scales {
   public:
    __device__ Scales(const ExpertScales& scales, int expert, int row)
        : groups_(scales.groups), wide_(scales.wide) {
      const std::int64_t first = static_cast<std::int64_t>(row >> scales.row_shift) * groups_;
      at_ = static_cast<const std::uint8_t*>(scales.first) + expert * scales.expert_bytes +
            first * (wide_ ? 4 : 2);
    }
    __device__ float at(int step) const {
      const int group = groups_ == 1 ? 0 : step;
      return wide_ ? __ldg(reinterpret_cast<const float*>(at_) + group)
                   : __uint_as_float(
                         std::uint32_t{__ldg(reinterpret_cast<const std::uint16_t*>(at_) + group)}
                         << 16U);
    }

   private:
    const std::uint8_t* at_;
    int groups_;
    bool wide_;
  };

  // Two bytes of a word, the upper ones of halves.
  __device__ static std::uint32_t decoded(std::uint32_t high_bytes) {
    // The same bits as a bf16 have an exponent too small by 120.
    const std::uint32_t bits = (high_bytes & 0x80008000U) | (high_bytes >> 4U & 0x07F007F0U);
    const __nv_bfloat162 value =
        __hmul2(*reinterpret_cast<const __nv_bfloat162*>(&bits), __float2bfloat162_rn(0x1p120F));
    return *reinterpret_cast<const std::uint32_t*>(&value);
  }
  __device__ static uint4 piece(std::uint32_t shared) {
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(shared)
                 : "memory");
    return v;
  }
  __device__ static std::uint32_t word(const uint4& v, int i) {
    return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
  }

  template <int kRows>
  __device__ static void multiply(const ExpertHalf& half, const Tile& tile, bool gated,
                                  FlowRing& ring, float (&sums)[kRows / 2]) {
    const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
    const int quarter = lane % 4;
    const int weight_row = flow_weight_row();
    const bool works = weight_row / kFlowGroupRows * kFlowGroupRows < tile.units * kExpertUnitRows;
    // Rows beyond the last have scales that nobody looks at.
    const int unit =
        min(tile.first_unit + weight_row / kExpertUnitRows, tile.first_unit + tile.units - 1);
    const int in_unit = weight_row % kExpertUnitRows;
    const int row = gated ? unit * (kExpertUnitRows / 2) + in_unit / 16 * 8 + in_unit % 8
                          : unit * kExpertUnitRows + in_unit;
    const Scales scales[2] = {{half.scales[0], tile.expert, row},
                              {half.scales[1], tile.expert, gated ? row : row + 8}};
    float next[2] = {scales[0].at(0), scales[1].at(0)};
#pragma unroll 1
    for (int step = 0; step < half.steps; ++step) {
      const float scale[2] = {next[0], next[1]};
      const int behind = min(step + 1, half.steps - 1);
      next[0] = scales[0].at(behind);
      next[1] = scales[1].at(behind);
      device::barrier_wait(ring.full + 8 * ring.stage, ring.parity);
      if (works) {
        const std::uint32_t stage = ring.at(ring.stage);
        const std::uint32_t own = stage + static_cast<unsigned>(weight_row) * 128U;
#pragma unroll 1
        for (int h = 0; h < 2; ++h) {
          const unsigned place = static_cast<unsigned>((2 * quarter + h) ^ weight_row % 8) * 16U;
          const uint4 upper = piece(own + place);
          const uint4 lower = piece(own + 8 * 128U + place);
          std::uint32_t left[4][4];
#pragma unroll
          for (int s = 0; s < 4; ++s) {
            left[s][0] = decoded(__byte_perm(word(upper, s), 0, 0x1404));
            left[s][1] = decoded(__byte_perm(word(lower, s), 0, 0x1404));
            left[s][2] = decoded(__byte_perm(word(upper, s), 0, 0x3424));
            left[s][3] = decoded(__byte_perm(word(lower, s), 0, 0x3424));
          }
          const std::uint32_t rows_at =
              stage + ring.rows_at + static_cast<unsigned>(h) * (kRows * kFlowDepth * 2U);
          // More sums at once have no room in registers.
#pragma unroll
          for (int some = 0; some < kRows / 32; ++some) {
            const std::uint64_t right =
                device::right_side(rows_at + static_cast<unsigned>(some) * (32 * kFlowDepth * 2U));
            float part[16] = {};
            device::hold(part);
            device::warpgroup_begin();
#pragma unroll
            for (int s = 0; s < 4; ++s) device::multiply_64<32>(part, left[s], right + 2 * s);
            device::warpgroup_commit();
            device::warpgroup_wait<0>();
            device::hold(part);
#pragma unroll
            for (int i = 0; i < 16; ++i) sums[16 * some + i] += part[i] * scale[i / 2 % 2];
          }
        }
      }
      if (lane == 0) device::barrier_arrive(ring.empty + 8 * ring.stage);
      ring.next();
    }
  }
#endif
};

}  // namespace glm::kernels::cuda
