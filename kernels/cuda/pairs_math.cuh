// What a warpgroup of product_pairs.cu does with its share of the columns (sm_90a only).
#pragma once

#include "kernels/cuda/pairs_block.cuh"
#include "kernels/cuda/pairs_codecs.cuh"
#include "kernels/cuda/shared_loads.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda::pairs {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

__device__ inline uint2 shared_scales(std::uint32_t address) {
  uint2 four;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];\n" : "=r"(four.x), "=r"(four.y) : "r"(address));
  return four;
}

// A product waits for the one before it that has the same sums: so there are two, but of large
// ones, which take longer than that.
template <int kColumns>
constexpr int kChains = kColumns < kPairRowsMax ? 2 : 1;

// What a warpgroup has of a unit, as the left side of its products.
using LeftUnit = LeftSide[kPairPieces];

// The first of a lane's two rows in a block, which are eight apart.
__device__ inline unsigned own_row() {
  return threadIdx.x % kGroupThreads / device::kWarpThreads * 16 +
         threadIdx.x % device::kWarpThreads / 4;
}

// Of rows beyond the last those of that one, whose results nobody takes.
template <class Codec>
__device__ typename Codec::RowScales row_scales(const Product& a, const PairBlock& block) {
  typename Codec::RowScales scales;
  if constexpr (Codec::kBits == 8) {
    const bool rest = block.is_rest(a);
    const int first = rest ? static_cast<int>(a.joined_at) : 0;
    const int end = static_cast<int>(rest || a.joined_at == 0 ? a.outputs : a.joined_at) - first;
    const device::Weight& w = rest ? a.up.first : a.weight.first;
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      const int row = block.tile * kPairOutputs - first + static_cast<int>(own_row()) + 8 * lower;
      scales.of[lower] = {w, block.head * a.weight_rows_per_group + min(row, end - 1)};
    }
  }
  return scales;
}

// What a lane reads from memory for a unit.
struct UnitScales {
  device::Fp8Scale of[2];
};
template <class Codec>
__device__ UnitScales unit_scales(const Product& a, const PairPlan& plan, const PairBlock& block,
                                  const typename Codec::RowScales& rows, int unit) {
  UnitScales scales;
  if constexpr (Codec::kBits == 8) {
    const auto group = static_cast<int>(threadIdx.x) / kGroupThreads;
    const int column = (block.part * plan.units + unit) * kPairUnit + group * kPairHalf;
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      scales.of[lower] = rows.of[lower].at(a.weight.first, static_cast<std::uint32_t>(column));
    }
  }
  return scales;
}

__device__ __forceinline__ void decode_fp8(const PairBlock& block, int unit,
                                           const UnitScales& scales, LeftUnit& left) {
  const auto group = static_cast<unsigned>(threadIdx.x) / kGroupThreads;
  const unsigned lane = threadIdx.x % device::kWarpThreads;
  const std::uint32_t weights = block.memory +
                                (static_cast<unsigned>(unit) * kPairGroups + group) *
                                    (kPairHalfWeights * PairsFp8::kBits / 8) +
                                own_row() * kPairHalf + lane % 4 / 2 * 4;
#pragma unroll
  for (unsigned lower = 0; lower < 2; ++lower) {
    const PairsFp8::Scales own(scales.of[lower]);
#pragma unroll
    for (unsigned sixteen = 0; sixteen < 2 * kPairPieces; ++sixteen) {
      const std::uint32_t at = weights + lower * 8 * kPairHalf + (sixteen ^ lane / 4) * 16;
      std::uint32_t* to = left[sixteen / 2][sixteen % 2];
      to[lower] = device::own_e4m3_pair(shared_word(at), lane, own.factors);
      to[2 + lower] = device::own_e4m3_pair(shared_word(at + 8), lane, own.factors);
    }
  }
}

template <class Codec>
__device__ __forceinline__ void decode_four_bits(const PairPlan& plan, const PairBlock& block,
                                                 int unit, LeftUnit& left) {
  constexpr unsigned kWeightRow = kPairHalf / 2;
  const auto group = static_cast<unsigned>(threadIdx.x) / kGroupThreads;
  const unsigned lane = threadIdx.x % device::kWarpThreads;
  const unsigned row = own_row();
  const auto number = static_cast<unsigned>(unit);
  const std::uint32_t weights =
      block.memory + (number * kPairGroups + group) * (kPairHalfWeights * Codec::kBits / 8) +
      row * kWeightRow;
  const std::uint32_t scales = block.memory + plan.scales_at + number * kPairScalesBytes +
                               row * kPairScaleRowBytes +
                               group * (kPairScaleRowBytes / kPairGroups);
#pragma unroll
  for (unsigned lower = 0; lower < 2; ++lower) {
    const typename Codec::Scales own(shared_scales(scales + lower * 8 * kPairScaleRowBytes));
#pragma unroll
    for (unsigned piece = 0; piece < kPairPieces; ++piece) {
      const uint4 words = shared_octets(weights + lower * 8 * kWeightRow + (piece ^ lane / 8) * 16);
      const auto pair = [&](std::uint32_t word, unsigned second) {
        return Codec::pair(word, static_cast<int>(lane), own, piece, second);
      };
      left[piece][0][lower] = pair(words.x, 0);
      left[piece][0][2 + lower] = pair(words.y, 0);
      left[piece][1][lower] = pair(words.z, 1);
      left[piece][1][2 + lower] = pair(words.w, 1);
    }
  }
}

template <class Codec>
__device__ __forceinline__ void decode(const PairPlan& plan, const PairBlock& block, int unit,
                                       const UnitScales& from_memory, LeftUnit& left) {
  if constexpr (Codec::kBits == 8) {
    decode_fp8(block, unit, from_memory, left);
  } else {
    decode_four_bits<Codec>(plan, block, unit, left);
  }
}

// `fetch` is called by the warp that asks for activations, before it decodes weights if those have
// not come yet, or else after it has decoded the first.
template <class Codec, int kColumns, typename Fetch>
__device__ __forceinline__ void multiply(const Product& a, const PairPlan& plan,
                                         const PairBlock& block,
                                         float (&sums)[kChains<kColumns>][kColumns / 2],
                                         const Fetch& fetch) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  LeftUnit left[2];
  for (auto& chain : sums) device::hold(chain);
  int unit = block.first_unit(plan.units);
  int decoded = unit;
  const auto rows = row_scales<Codec>(a, block);
  const auto decode_next = [&](LeftUnit& own) {
    const UnitScales scales = unit_scales<Codec>(a, plan, block, rows, decoded);
    device::barrier_wait(block.weights_full(plan, decoded), 0);
    decode<Codec>(plan, block, decoded, scales, own);
    decoded = unit_behind(decoded, plan.units);
  };
  // Then those before have ended.
  const auto multiply_one = [&](const LeftUnit& own) {
    device::barrier_wait(block.rows_full(plan, unit), 0);
    const std::uint32_t rows =
        block.memory + plan.rows_at +
        static_cast<unsigned>((unit * kPairGroups + group) * (kPairHalf / kPairBox)) *
            plan.box_pitch;
    device::warpgroup_begin();
#pragma unroll
    for (unsigned piece = 0; piece < kPairPieces; ++piece) {
      const std::uint64_t right =
          device::right_side(rows + piece / 2 * plan.box_pitch) + 4 * (piece % 2);
      device::multiply_64<kColumns>(sums[0], own[piece][0], right);
      device::multiply_64<kColumns>(sums[kChains<kColumns> - 1], own[piece][1], right + 2);
    }
    device::warpgroup_commit();
    device::warpgroup_wait<1>();
    unit = unit_behind(unit, plan.units);
  };
  bool fetches = threadIdx.x >= kFetchThread;
  const std::uint32_t first = block.weights_full(plan, unit);
  if (fetches && !__all_sync(0xFFFFFFFFU, device::barrier_is_over(first, 0))) {
    fetch();
    fetches = false;
  }
  decode_next(left[0]);
  if (plan.units > 1) decode_next(left[1]);
  if (fetches) fetch();
#pragma unroll 1
  for (int turn = 0; turn < plan.units; turn += 2) {
    multiply_one(left[0]);
    if (turn > 0 && turn + 1 < plan.units) decode_next(left[1]);
    if (turn + 1 >= plan.units) break;
    multiply_one(left[1]);
    if (turn + 2 < plan.units) decode_next(left[0]);
  }
  device::warpgroup_wait<0>();
  for (auto& chain : sums) device::hold(chain);
  constexpr bool kTwoChains = kChains<kColumns> == 2;
  if constexpr (kTwoChains) {
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sums[0][i] += sums[1][i];
  }
}

#endif

}  // namespace glm::kernels::cuda::pairs
