// How the warpgroups of product_wgmma.cu store what they have summed up: through shared memory, so
// that results of neighbouring outputs leave together.
#pragma once

#include "kernels/cuda/shared_loads.cuh"
#include "kernels/cuda/wgmma_stages.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// To within a few units in the last place of f32.
__device__ __forceinline__ float fast_silu(float x) {
  return __fdividef(x, 1.0F + __expf(-x));
}

// What a warpgroup needs to store its results.
struct Results {
  float* floats;  // shared memory
  int group;      // which of the warpgroups
  bool whole_fours;
  int turn = 0;
  __device__ void meet() const {
    asm volatile("bar.sync %0, %1;\n" ::"r"(1 + group), "n"(kGroupThreads) : "memory");
  }
};

// Where results of a warpgroup belong.
struct Place {
  int first_output;
  int first_row;  // in the tile
};

// Octet m of what four octets are when dealt (device/dealt_columns.cuh); at(q): where octet q is in
// shared memory. Loads, for lanes that exchange would have to meet, and with that the compiler no
// longer keeps what all threads of a warp agree on where products take it from.
template <class At>
__device__ __forceinline__ uint4 dealt_octet(const At& at, int m) {
  const auto pair = [&](unsigned q) {
    const std::uint32_t first = at(q) + 2 * static_cast<unsigned>(m);
    return shared_half(first) | shared_half(first + 8) << 16U;
  };
  return {pair(0), pair(1), pair(2), pair(3)};
}

__device__ std::int64_t result_row(const Product& a, const Tile& tile, int n) {
  if (a.out_sorted) return tile.rows.first + n;
  if (tile.out_rows != 0) return shared_word(tile.out_rows + 4 * static_cast<unsigned>(n));
  return tile_row(a, tile.rows, n);
}

// Results of up to 32 rows of activations, through shared memory, sixteen bytes a thread.
__device__ __forceinline__ void store_octets(const Product& a, const Tile& tile,
                                             const Place& at_place, const float (&sums)[16],
                                             float unit, float up_unit, Results& results) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  const int lane = thread % device::kWarpThreads;
  const auto warp = static_cast<unsigned>(thread / device::kWarpThreads);
  const std::uint32_t buffer =
      device::shared_address(results.floats) +
      static_cast<unsigned>(results.turn++ % kWgmmaBuffers) * kWgmmaBufferBytes;
  // Pieces of eight outputs; those of neighbouring rows in different banks.
  const auto at = [&](unsigned row, unsigned piece) {
    return buffer +
           (a.gated ? row * 64 + (piece ^ row / 2 % 4) * 16 : row * 128 + (piece ^ row % 8) * 16);
  };
  const unsigned matrix = static_cast<unsigned>(lane) / 8;
  const unsigned column = static_cast<unsigned>(lane) % 8;
  if (a.gated) {
    std::uint32_t pairs[4];
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
      const float* four = &sums[4 * j];
      pairs[j] = device::bf16_pair(fast_silu(four[0] * unit) * (four[2] * up_unit),
                                   fast_silu(four[1] * unit) * (four[3] * up_unit));
    }
    device::store_matrices_transposed(at(8 * matrix + column, warp), pairs);
  } else {
#pragma unroll
    for (unsigned i = 0; i < 4; i += 2) {
      std::uint32_t pairs[4];
#pragma unroll
      for (unsigned j = 0; j < 4; ++j) {
        const float* two = &sums[4 * (i + j / 2) + 2 * (j % 2)];
        pairs[j] = device::bf16_pair(two[0] * unit, two[1] * unit);
      }
      device::store_matrices_transposed(at(8 * (i + matrix / 2) + column, 2 * warp + matrix % 2),
                                        pairs);
    }
  }
  // The buffer is written; whoever writes to it again has met all its readers here once more.
  results.meet();
  const int pieces = a.gated ? 4 : 8;
  const int first_output = at_place.first_output;
  auto* out = static_cast<__nv_bfloat16*>(a.out) + tile.rows.group * a.out_group_stride;
#pragma unroll 2
  for (int i = thread; i < kWgmmaBlockRows * pieces; i += kGroupThreads) {
    const int row = i / pieces;
    const int piece = i % pieces;
    const int place = at_place.first_row + row;
    const int output = first_output + 8 * piece;
    if (place >= tile.rows.count || output >= a.outputs) continue;
    const auto octet_at = [&](unsigned from) { return at(static_cast<unsigned>(row), from); };
    const uint4 octet = a.out_dealt ? dealt_octet(octet_at, piece)
                                    : shared_octets(octet_at(static_cast<unsigned>(piece)));
    *reinterpret_cast<uint4*>(out + result_row(a, tile, place) * a.out_stride + output) = octet;
  }
}

// Likewise as f32, for results that are no whole octets of bf16 or want a factor or a bias.
__device__ __forceinline__ void store_any(const Product& a, const Tile& tile, const Place& at_place,
                                          const float (&sums)[16], float unit, float up_unit,
                                          const Results& results) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  const int lane = thread % device::kWarpThreads;
  const int outputs = a.gated ? kWgmmaGroupRows / 2 : kWgmmaGroupRows;
  const int own_output = thread / device::kWarpThreads * (a.gated ? 8 : 16) + lane / 4;
  // Columns 2(l%4) of rows l/4: neighbours in l are then in different banks.
  constexpr int kPitch = kWgmmaPitch;
  auto* buffer = results.floats;
  results.meet();  // nobody reads the last results
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const float upper = sums[i / 2 * 4 + i % 2] * unit;
    const float lower = sums[i / 2 * 4 + 2 + i % 2];
    float* to = buffer + (i / 2 * 8 + 2 * (lane % 4) + i % 2) * kPitch + own_output;
    to[0] = a.gated ? fast_silu(upper) * (lower * up_unit) : upper;
    if (!a.gated) to[8] = lower * unit;
  }
  results.meet();  // the results are there
  const int first_output = at_place.first_output;
  const int here = min(outputs, static_cast<int>(a.outputs) - first_output);
  const int four = lane % 16 * 4;
#pragma unroll 1
  for (int i = thread / 16; i < kWgmmaBlockRows; i += kGroupThreads / 16) {
    const int place = at_place.first_row + i;
    if (place >= tile.rows.count || four >= here) continue;
    const std::int64_t row = result_row(a, tile, place);
    const float4 values = *reinterpret_cast<const float4*>(buffer + i * kPitch + four);
    if (results.whole_fours) {
      const float factor = a.factor != nullptr ? a.factor[row] : 1.0F;
      auto* out = static_cast<float*>(a.out) + row * a.out_stride +
                  tile.rows.group * a.out_group_stride + first_output + four;
      *reinterpret_cast<float4*>(out) = {values.x * factor, values.y * factor, values.z * factor,
                                         values.w * factor};
      continue;
    }
    const float all[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (four + j < here) put(a, row, tile.rows.group, first_output + four + j, all[j]);
    }
  }
}

#endif

}  // namespace glm::kernels::cuda
