// What the products of variants "held" (product_held.cu) and the one with a norm in front
// (normed_held.cu) have in common: sixteen warps, each with its share of the columns, tiles of
// sixteen outputs, four or eight bits a weight.
//
// A step is 64 columns of a tile; a lane has sixteen of two rows of weights. Activations lie in
// shared memory in the order of int4_order(), eight rows at most.
#pragma once

#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/fp4.cuh"
#include "kernels/device/fp8.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {

constexpr unsigned kHeldWarps = 16;
constexpr unsigned kHeldThreads = kHeldWarps * device::kWarpThreads;
constexpr int kHeldTile = 16;  // outputs
constexpr int kHeldRowsMax = 8;
constexpr unsigned kHeldStep = 64;  // columns

// Steps of a warp, of sums of up to 2,048 columns and up to 5,120.
constexpr int kHeldShortSteps = 2;
constexpr int kHeldLongSteps = 5;
// Of so many weights of a row.
template <class Codec>
__host__ __device__ constexpr unsigned held_bytes(unsigned columns) {
  return columns / (8 / Codec::kBits);
}
constexpr unsigned held_inputs_max(int steps) {
  return kHeldWarps * static_cast<unsigned>(steps) * kHeldStep;
}

// Elements from row to row of activations in shared memory: whole steps, and so many pieces of
// sixteen bytes that neighbours lie in different banks.
__host__ __device__ constexpr unsigned held_pitch(unsigned inputs) {
  return (inputs + kHeldStep - 1) / kHeldStep * kHeldStep + device::kOctet;
}

__device__ inline unsigned held_lane() {
  return threadIdx.x % device::kWarpThreads;
}
__device__ inline unsigned held_warp() {
  return threadIdx.x / device::kWarpThreads;
}

// Eight activations for the lanes that want them; others have anything.
__device__ inline uint4 held_octet(const __nv_bfloat16* from, bool wanted) {
  uint4 octet;
  if (wanted) octet = device::read_octet(from);
  return octet;
}

// How weights are coded, with kBits; kMayBeStaged: rows of scales are copied with them. Raw is what
// a lane has of a row in a step, Scale what belongs to it, or with kScalesSums to the whole step.
// fragment(raw, scales, i) is number i of a step's four: what a lane has of a tensor-core tile, of
// its sixteen columns of two rows. Sums are to be multiplied with unit().
template <class CodedScale>
struct HeldFourBits {
  static constexpr unsigned kBits = 4;
  static constexpr bool kMayBeStaged = true;
  static constexpr bool kScalesSums = false;
  using Raw = uint2;
  using Scale = CodedScale;
  using RowScales = const Scale*;
  __device__ static RowScales row_scales(const device::Weight& w, std::int64_t row) {
    return static_cast<const Scale*>(w.scales) + row * w.groups;
  }
  __device__ static Scale scale(RowScales scales, const device::Weight& w, unsigned c) {
    return scales[c >> w.group_shift];
  }
};

struct HeldInt4 : HeldFourBits<__nv_bfloat16> {
  __device__ static uint4 fragment(const uint2 (&raw)[2], const Scale (&scales)[2],
                                   device::ScaleType /*type*/, int i) {
    const device::Int4Group low{.scale = scales[0], .zero = 8};
    const device::Int4Group high{.scale = scales[1], .zero = 8};
    const std::uint32_t words[2] = {i < 2 ? raw[0].x : raw[0].y, i < 2 ? raw[1].x : raw[1].y};
    const int pair = i % 2 * 2;
    return {device::int4_pair(words[0], pair, low), device::int4_pair(words[1], pair, high),
            device::int4_pair(words[0], pair + 1, low),
            device::int4_pair(words[1], pair + 1, high)};
  }
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
};

struct HeldFp4 : HeldFourBits<std::uint8_t> {
  __device__ static uint4 fragment(const uint2 (&raw)[2], const Scale (&scales)[2],
                                   device::ScaleType type, int i) {
    const __nv_bfloat162 both = device::fp4_scales(type, scales[0], scales[1]);
    const __nv_bfloat16 low = __low2bfloat16(both);
    const __nv_bfloat16 high = __high2bfloat16(both);
    const std::uint32_t words[2] = {i < 2 ? raw[0].x : raw[0].y, i < 2 ? raw[1].x : raw[1].y};
    const int pair = i % 2 * 2;
    return {device::fp4_pair(words[0], pair, low), device::fp4_pair(words[1], pair, high),
            device::fp4_pair(words[0], pair + 1, low), device::fp4_pair(words[1], pair + 1, high)};
  }
  __device__ static device::Fp4Unit unit(const device::Weight& w) { return device::Fp4Unit(w); }
};

// Exact in bf16, as scales are left to the sums of a step.
struct HeldFp8 {
  static constexpr unsigned kBits = 8;
  static constexpr bool kMayBeStaged = false;
  static constexpr bool kScalesSums = true;
  using Raw = uint4;
  using Scale = device::Fp8Scale;
  using RowScales = device::Fp8RowScales;
  __device__ static RowScales row_scales(const device::Weight& w, std::int64_t row) {
    return {w, row};
  }
  __device__ static Scale scale(const RowScales& scales, const device::Weight& w, unsigned c) {
    return scales.at(w, c);
  }
  __device__ static uint4 fragment(const uint4 (&raw)[2], const Scale (&/*scales*/)[2],
                                   device::ScaleType /*type*/, int i) {
    const __nv_bfloat162 factors = __float2bfloat162_rn(0x1p120F);
    // Columns p and p + 4 of eight.
    const auto pair = [&](int row, unsigned p) {
      const std::uint32_t front = i < 2 ? raw[row].x : raw[row].z;
      const std::uint32_t back = i < 2 ? raw[row].y : raw[row].w;
      return device::e4m3_pair(device::e4m3_of_both(front, back, p), factors);
    };
    const unsigned first = static_cast<unsigned>(i) % 2 * 2;
    return {pair(0, first), pair(1, first), pair(0, first + 1), pair(1, first + 1)};
  }
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
};

// sums += fragment * its half of eight activations.
__device__ inline void held_multiply(float (&sums)[4], const uint4& fragment, const uint4& eight,
                                     int i) {
  const std::uint32_t four[4] = {fragment.x, fragment.y, fragment.z, fragment.w};
  device::mma_16x8x16(sums, four, i % 2 == 0 ? eight.x : eight.z, i % 2 == 0 ? eight.y : eight.w);
}

// Sums on their way from warp to warp, in shared memory.
struct HeldSums {
  float* first;
  unsigned of_row;  // from one to the next
  unsigned of_warp;

  __device__ float* at(unsigned row, unsigned warp) const {
    return first + row * of_row + warp * of_warp;
  }
};

// Leaves a warp's sums of a tile whose outputs begin at `first`.
__device__ inline void held_leave(const float (&sums)[4], const HeldSums& to, int rows, int first) {
  const int lane = static_cast<int>(held_lane());
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = 2 * (lane % 4) + i % 2;
    if (row < rows) to.at(row, held_warp())[first + lane / 4 + i / 2 * 8] = sums[i];
  }
}

// Adds the warps' sums in their order: take(row, output, sum), where `first` is the first output.
template <int kOutputs, class Take>
__device__ void held_hand_out(const Product& a, const HeldSums& sums, unsigned first,
                              const Take& take) {
  const unsigned count = static_cast<unsigned>(a.rows) * kOutputs;
#pragma unroll 1
  for (unsigned at = threadIdx.x; at < count; at += kHeldThreads) {
    const unsigned row = at / kOutputs;
    const unsigned o = at % kOutputs;
    if (first + o >= a.outputs) continue;
    float sum = 0;
#pragma unroll
    for (unsigned w = 0; w < kHeldWarps; ++w) sum += sums.at(row, w)[o];
    take(row, first + o, sum);
  }
}

}  // namespace glm::kernels::cuda
