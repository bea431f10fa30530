// How product_wgmma.cu gets scales and zeros that are not copied into a stage: by ordinary loads,
// so that rows of any number of them will do, and as the words that its codecs decode, so that this
// is done once a row.
#pragma once

#include "kernels/cuda/wgmma_stages.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/fp4.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {

// Where those of a row begin.
struct ScaleRow {
  const std::uint8_t* scales;
  const std::uint8_t* zeros;
};

// Of a row in a stage there are so many groups, or a part of one. kAbove: the upper byte of the
// number whose lower one is a zero.
template <unsigned kAbove, unsigned kGroups, bool kZeros>
struct Int4Scales {
  static constexpr unsigned kColumns = kWgmmaScaledColumns;
  static constexpr unsigned kBytes = 2;  // of a scale
  struct Stored {
    uint2 scales = {};
    std::uint32_t zeros = 0;
  };

  // From this group on.
  __device__ static Stored read(const ScaleRow& row, std::uint32_t group) {
    const std::uint8_t* scales = row.scales + 2 * group;
    const std::uint8_t* zeros = row.zeros + group;
    Stored own;
    if constexpr (kGroups == 4) {
      own.scales = __ldg(reinterpret_cast<const uint2*>(scales));
      if constexpr (kZeros) own.zeros = __ldg(reinterpret_cast<const std::uint32_t*>(zeros));
    } else if constexpr (kGroups == 2) {
      own.scales.x = __ldg(reinterpret_cast<const std::uint32_t*>(scales));
      if constexpr (kZeros) own.zeros = __ldg(reinterpret_cast<const std::uint16_t*>(zeros));
    } else {
      own.scales.x = __ldg(reinterpret_cast<const std::uint16_t*>(scales));
      if constexpr (kZeros) own.zeros = __ldg(zeros);
    }
    return own;
  }

  __device__ static uint4 words(const Stored& own) {
    const std::uint32_t zeros = own.zeros;
    constexpr std::uint32_t kMiddle = (kAbove << 8U | 8U) * 0x10001U;
    const std::uint32_t front = kZeros ? __byte_perm(zeros, kAbove, 0x4140) : kMiddle;
    const std::uint32_t back = kZeros ? __byte_perm(zeros, kAbove, 0x4342) : kMiddle;
    const std::uint32_t first = __byte_perm(own.scales.x, front, 0x5410);
    if constexpr (kGroups == 1) return {first, first, first, first};
    const std::uint32_t second = __byte_perm(own.scales.x, front, 0x7632);
    if constexpr (kGroups == 2) return {first, first, second, second};
    return {first, second, __byte_perm(own.scales.y, back, 0x5410),
            __byte_perm(own.scales.y, back, 0x7632)};
  }
};

template <device::ScaleType kType>
__device__ __forceinline__ std::uint32_t fp4_word(std::uint32_t bits) {
  const __nv_bfloat162 scales = device::fp4_row_scales(kType, bits);
  return *reinterpret_cast<const std::uint32_t*>(&scales);
}

// Of sixteen columns each.
struct NvFp4Scales {
  static constexpr unsigned kColumns = kWgmmaScaledColumns;
  static constexpr unsigned kBytes = 1;
  using Stored = uint2;
  __device__ static Stored read(const ScaleRow& row, std::uint32_t group) {
    return __ldg(reinterpret_cast<const uint2*>(row.scales + group));
  }
  __device__ static uint4 words(const Stored& own) {
    constexpr auto kType = device::ScaleType::e4m3;
    return {fp4_word<kType>(own.x), fp4_word<kType>(own.x >> 16U), fp4_word<kType>(own.y),
            fp4_word<kType>(own.y >> 16U)};
  }
};

// Of thirty-two.
struct MxFp4Scales {
  static constexpr unsigned kColumns = kWgmmaScaledColumns;
  static constexpr unsigned kBytes = 1;
  using Stored = std::uint32_t;
  __device__ static Stored read(const ScaleRow& row, std::uint32_t group) {
    return __ldg(reinterpret_cast<const std::uint32_t*>(row.scales + group));
  }
  __device__ static uint4 words(Stored own) {
    constexpr auto kType = device::ScaleType::e8m0;
    return {fp4_word<kType>(own), fp4_word<kType>(own >> 8U), fp4_word<kType>(own >> 16U),
            fp4_word<kType>(own >> 24U)};
  }
};

// One of whole stages, in f32 or bf16.
template <bool kWide>
struct Fp8Scales {
  static constexpr unsigned kColumns = kWgmmaFp8Columns;
  static constexpr unsigned kBytes = kWide ? 4 : 2;
  using Stored = std::uint32_t;
  __device__ static Stored read(const ScaleRow& row, std::uint32_t group) {
    const std::uint8_t* at = row.scales + kBytes * group;
    if constexpr (kWide) return __ldg(reinterpret_cast<const std::uint32_t*>(at));
    return __ldg(reinterpret_cast<const std::uint16_t*>(at));
  }
  __device__ static uint4 words(Stored own) {
    const float scale = __uint_as_float(kWide ? own : own << 16U);
    const __nv_bfloat162 factors = __float2bfloat162_rn(scale * 0x1p120F);
    const auto word = *reinterpret_cast<const std::uint32_t*>(&factors);
    return {word, word, word, word};
  }
};

__device__ inline void store_words(std::uint32_t shared, const uint4& words) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};\n" ::"r"(shared), "r"(words.x),
               "r"(words.y), "r"(words.z), "r"(words.w)
               : "memory");
}

template <class Scales>
__device__ __forceinline__ ScaleRow scale_row(const device::Weights& w, int expert, int row) {
  const std::int64_t rows =
      w.first.row_block == 1
          ? row
          : static_cast<std::uint32_t>(w.first.row_offset + row) >> (__ffs(w.first.row_block) - 1);
  const std::int64_t groups = rows * w.first.groups;
  return {.scales = static_cast<const std::uint8_t*>(w.first.scales) + expert * w.scales_bytes +
                    groups * Scales::kBytes,
          .zeros =
              w.first.zeros == nullptr ? nullptr : w.first.zeros + expert * w.zeros_bytes + groups};
}

// By kWgmmaScaleWarps warps, of which this is thread `thread`; it has every so many rows of a tile.
// What a stage needs is read while the one before is laid.
template <class Scales, int kRows, bool kCluster>
__device__ __forceinline__ void lay_scales(const Product& a, const WgmmaPlan& plan,
                                           const Shared& shared, int thread) {
  constexpr int kThreads = kWgmmaScaleWarps * device::kWarpThreads;
  constexpr int kOwn = (kRows + kThreads - 1) / kThreads;
  const std::uint32_t to = device::shared_address(shared.memory) + plan.scales_at +
                           static_cast<unsigned>(thread) * kWgmmaScaleBytes;
  Ring ring{plan.stages};
  const int tiles = tiles_of(a, plan);
  for (int index = first_tile<kCluster>(plan); index < tiles;
       index = next_tile<kCluster>(plan, index)) {
    const Tile tile = tile_at(a, plan, index);
    const WeightRows rows = weight_rows<kRows / 2>(a, tile);
    ScaleRow from[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int place = thread + i * kThreads;
      const bool first = place < kRows / 2;
      const int in_half = first ? place : place - kRows / 2;
      const int whole = kMaySlice<kRows / kWgmmaGroupRows> && plan.sliced
                            ? row_of_slice(tile.m_block * (kRows / 2 / kWgmmaSliceRows) +
                                               in_half / kWgmmaSliceRows,
                                           in_half % kWgmmaSliceRows)
                            : (first ? rows.first : rows.second) + in_half;
      const int row = min(whole, rows.end - 1);
      from[i] = a.gated && !first ? scale_row<Scales>(a.up, rows.expert, row)
                                  : scale_row<Scales>(a.weight, rows.expert, row);
    }
    typename Scales::Stored next[kOwn];
    const auto read = [&](int step) {
      const auto column = static_cast<std::uint32_t>(step) * Scales::kColumns;
      const device::Weight& w = a.weight.first;
      const std::uint32_t group = w.groups == 1 ? 0 : column >> w.group_shift;
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        next[i] = Scales::read(from[i], group);
      }
    };
    int step = first_step<kCluster>(plan);
    const int end = step + plan.steps;
    read(step);
#pragma unroll 1
    for (; step < end; ++step) {
      typename Scales::Stored now[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) now[i] = next[i];
      if (step + 1 < end) read(step + 1);
      const std::uint32_t stage = to + static_cast<unsigned>(ring.stage) * plan.stage;
      device::barrier_wait(shared.empty + 8U * static_cast<unsigned>(ring.stage), ring.parity ^ 1U);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        if (kRows % kThreads != 0 && thread + i * kThreads >= kRows) break;
        store_words(stage + static_cast<unsigned>(i * kThreads) * kWgmmaScaleBytes,
                    Scales::words(now[i]));
      }
      __syncwarp();  // the scales of this warp's rows are there
      if (thread % device::kWarpThreads == 0) {
        device::barrier_arrive(shared.full + 8U * static_cast<unsigned>(ring.stage));
      }
      ring.advance();
    }
  }
}

enum class WgmmaScaled { int4, int4_zeros, int4_half, fp4, fp8 };

template <WgmmaScaled kScaled, int kRows, bool kCluster>
__device__ __forceinline__ void lay_scales(const Product& a, const WgmmaPlan& plan,
                                           const Shared& shared, int thread) {
  const device::Weight& w = a.weight.first;
  const auto in_groups = [&]<unsigned kAbove, bool kZeros>() {
    const auto lay = [&]<unsigned kGroups>() {
      lay_scales<Int4Scales<kAbove, kGroups, kZeros>, kRows, kCluster>(a, plan, shared, thread);
    };
    if (w.group_shift == 5) return lay.template operator()<4>();
    if (w.group_shift == 6) return lay.template operator()<2>();
    return lay.template operator()<1>();
  };
  if constexpr (kScaled == WgmmaScaled::int4) {
    in_groups.template operator()<0, false>();
  } else if constexpr (kScaled == WgmmaScaled::int4_zeros) {
    in_groups.template operator()<0, true>();
  } else if constexpr (kScaled == WgmmaScaled::int4_half) {
    if (w.zeros != nullptr) return in_groups.template operator()<0x64, true>();
    in_groups.template operator()<0x64, false>();
  } else if constexpr (kScaled == WgmmaScaled::fp8) {
    if (w.scale_type == device::ScaleType::f32) {
      return lay_scales<Fp8Scales<true>, kRows, kCluster>(a, plan, shared, thread);
    }
    return lay_scales<Fp8Scales<false>, kRows, kCluster>(a, plan, shared, thread);
  } else {
    if (w.scale_type == device::ScaleType::e4m3) {
      return lay_scales<NvFp4Scales, kRows, kCluster>(a, plan, shared, thread);
    }
    return lay_scales<MxFp4Scales, kRows, kCluster>(a, plan, shared, thread);
  }
}

}  // namespace glm::kernels::cuda
