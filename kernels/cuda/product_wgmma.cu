// For many rows, on Hopper (sm_90a): weights are the left side of warpgroup products, decoded in
// registers, and rows of activations the right side, gathered into shared memory.
//
// Each block goes from tile to tile. One warpgroup keeps a ring of stages full with asynchronous
// copies, also across tiles; two others have 64 rows of weights each and multiply, and decode the
// next stage while they do. Gated, rows of gate and of up alternate by eights, so that both of an
// output meet in one lane. A tile computes as many columns as it has rows of activations, in steps
// of 32. A result is the sum over columns of weights in their order, whatever the tile.
#include "base/check.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/cuda/wgmma_codecs.cuh"
#include "kernels/cuda/wgmma_plan.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/wgmma.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kGroupThreads = 128;
constexpr int kWorkThreads = kWgmmaGroups * kGroupThreads;
constexpr int kCopyWarps = 4;  // a warpgroup, so that it can give up registers
constexpr int kCopyThreads = kCopyWarps * device::kWarpThreads;
constexpr int kThreads = kWorkThreads + kCopyThreads;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

constexpr unsigned kCopyRegisters = 56;
constexpr unsigned kWorkRegisters = 224;
constexpr int kRowsStep = 32;                    // of activations that a product takes at least
constexpr unsigned kRowBytes = kWgmmaDepth * 2;  // of activations in a stage

struct Tile {
  RowTile rows;
  int m_block;
};

__device__ int tiles_of(const Product& a, const WgmmaPlan& plan) {
  const int row_tiles =
      a.row_group != nullptr ? *a.tile_count : static_cast<int>(a.groups) * plan.row_tiles;
  return row_tiles * plan.m_blocks;
}

// Tiles of the same activations come one after the other.
__device__ Tile tile_at(const Product& a, const WgmmaPlan& plan, int index) {
  const int at = index / plan.m_blocks;
  const int m_block = index % plan.m_blocks;
  if (a.row_group != nullptr) return {a.tiles[at], m_block};
  const int first = at % plan.row_tiles * plan.tile_rows;
  return {{.group = at / plan.row_tiles,
           .first = first,
           .count = min(plan.tile_rows, static_cast<int>(a.rows) - first)},
          m_block};
}

// A place in the ring of stages, and the parity of the barriers' phase there.
struct Ring {
  int stages;
  int stage = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++stage < stages) return;
    stage = 0;
    parity ^= 1U;
  }
};

struct Shared {
  std::uint8_t* memory;
  std::uint32_t full;  // barriers, one a stage
  std::uint32_t empty;
};

// Which row of which matrix lies in a row of the tile.
struct WeightRow {
  const device::Weights& weights;
  std::int64_t row;
};
__device__ WeightRow weight_row(const Product& a, const Tile& tile, int row) {
  const int first = tile.m_block * (a.gated ? kWgmmaOutputs / 2 : kWgmmaOutputs);
  const int output = first + (a.gated ? row / 16 * 8 + row % 8 : row);
  const bool of_up = a.gated && row % 16 >= 8;
  const std::int64_t heads = tile.rows.group * a.weight_rows_per_group;
  return {of_up ? a.up : a.weight, heads + min(output, static_cast<int>(a.outputs) - 1)};
}

__device__ void copy_async_4(std::uint32_t shared, const void* global) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\n" ::"r"(shared), "l"(global) : "memory");
}

// By the warps that copy. They have few instructions a stage, for a stage's products take no longer
// than some hundreds of cycles: addresses are kept and moved on.
template <class Codec>
__device__ __forceinline__ void fill_stages(const Product& a, const WgmmaPlan& plan,
                                            const Shared& shared) {
  const int thread = static_cast<int>(threadIdx.x) - kWorkThreads;
  const auto piece = static_cast<unsigned>(thread) % 8;
  const int x_first = thread / 8;
  constexpr int kRowsAtOnce = kCopyThreads / 8;
  constexpr int kPieces = kWgmmaRowsMax / kRowsAtOnce;
  constexpr int kPiecesAlways = 4;
  constexpr int kRowPieces = static_cast<int>(Codec::kRowBytes) / 16;
  constexpr int kWeightPieces = kWgmmaOutputs * kRowPieces / kCopyThreads;
  const auto weight_piece = static_cast<unsigned>(thread % kRowPieces);
  const int weight_first = thread / kRowPieces;
  // Where the pieces of this thread lie in a stage.
  const std::uint32_t x_to = device::shared_address(shared.memory) +
                             static_cast<unsigned>(x_first) * kRowBytes +
                             (piece ^ static_cast<unsigned>(x_first) % 8) * 16;
  const std::uint32_t weight_to =
      device::shared_address(shared.memory) + plan.weights_at +
      Codec::piece_at(static_cast<unsigned>(weight_first), weight_piece);
  const std::uint32_t scales_to =
      device::shared_address(shared.memory) + plan.scales_at + 4U * static_cast<unsigned>(thread);
  const int steps = static_cast<int>(a.inputs) / kWgmmaDepth;
  const int tiles = tiles_of(a, plan);
  Ring ring{plan.stages};
  for (int index = static_cast<int>(blockIdx.x); index < tiles;
       index += static_cast<int>(gridDim.x)) {
    const Tile tile = tile_at(a, plan, index);
    const int pieces = (tile.rows.count + kRowsStep - 1) / kRowsStep * kRowsStep / kRowsAtOnce;
    const std::int64_t expert = a.row_group != nullptr ? tile.rows.group : 0;
    // Rows beyond the last may hold anything: nobody stores what comes of them.
    // Rows as counts of sixteen bytes.
    const auto* x =
        static_cast<const uint4*>(a.x) + tile.rows.group * (a.x_group_stride / 8) + piece;
    std::uint32_t x_at[kPieces];
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      const int place = x_first + j * kRowsAtOnce;
      const auto row =
          static_cast<int>(tile_row(a, tile.rows, place < tile.rows.count ? place : 0));
      x_at[j] = static_cast<std::uint32_t>(row / static_cast<int>(a.x_divisor)) *
                static_cast<std::uint32_t>(a.x_stride / 8);
    }
    const device::Weights& own = weight_row(a, tile, weight_first).weights;
    const auto* weights =
        reinterpret_cast<const uint4*>(own.first.data + expert * own.data_bytes) + weight_piece;
    std::uint32_t weight_at[kWeightPieces];
#pragma unroll
    for (int j = 0; j < kWeightPieces; ++j) {
      const WeightRow from = weight_row(a, tile, weight_first + j * kCopyThreads / kRowPieces);
      weight_at[j] = static_cast<std::uint32_t>(from.row) *
                     static_cast<std::uint32_t>(own.first.row_bytes / 16);
    }
    const std::uint8_t* scales = nullptr;
    if (Codec::kScales) {
      const WeightRow from = weight_row(a, tile, thread);
      const device::Weight& w = from.weights.first;
      scales = static_cast<const std::uint8_t*>(w.scales) + expert * from.weights.scales_bytes +
               from.row * Codec::scale_row_bytes(w);
    }
    const auto fill = [&](int step, int ahead) {
      device::barrier_wait(shared.empty + 8U * static_cast<unsigned>(ring.stage), ring.parity ^ 1U);
      const std::uint32_t stage = static_cast<unsigned>(ring.stage) * plan.stage;
#pragma unroll
      for (int j = 0; j < kWeightPieces; ++j) {
        // Rows that are a multiple of eight apart have their pieces in the same order.
        device::copy_async_16(stage + weight_to + static_cast<unsigned>(j * kCopyThreads * 16),
                              weights + weight_at[j] + ahead * kRowPieces, true);
      }
      if (Codec::kScales) {
        copy_async_4(stage + scales_to, scales + Codec::scales_from(a.weight.first, step + ahead));
      }
#pragma unroll
      for (int j = 0; j < kPieces; ++j) {
        if (j >= kPiecesAlways && j % 2 == 0 && j >= pieces) break;
        device::copy_async_16(stage + x_to + static_cast<unsigned>(j * kRowsAtOnce) * kRowBytes,
                              x + x_at[j] + ahead * 8, true);
      }
      device::barrier_arrive_when_copied(shared.full + 8U * static_cast<unsigned>(ring.stage));
      ring.advance();
    };
#pragma unroll 1
    for (int step = 0; step < steps; step += 2) {
      fill(step, 0);
      fill(step, 1);
      x += 2 * 8;
      weights += 2 * kRowPieces;
    }
  }
}

template <int kHalves>
using Sums = float[16 * kHalves];

// Starts sums += a * activations of a stage, for 32 * kHalves rows of them.
template <int kHalves>
__device__ __forceinline__ void start_products(const LeftSide& a, std::uint32_t stage,
                                               Sums<kHalves>& sums) {
  device::warpgroup_begin();
#pragma unroll
  for (unsigned i = 0; i < 4; ++i) {
    device::multiply_64<32 * kHalves>(sums, a[i], device::right_side(stage) + 2 * i);
  }
  device::warpgroup_commit();
}

// The whole sum of a tile, by one of the warpgroups that multiply.
template <class Codec, int kHalves>
__device__ __forceinline__ void multiply(const Product& a, const WgmmaPlan& plan,
                                         const Shared& shared, Ring& ring, Sums<kHalves>& sums) {
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % device::kWarpThreads;
  const unsigned first_row = static_cast<unsigned>(thread) / device::kWarpThreads * 16;
  const std::uint32_t memory = device::shared_address(shared.memory);
  const int steps = static_cast<int>(a.inputs) / kWgmmaDepth;
  const auto decode = [&](int step, LeftSide& left) {
    device::barrier_wait(shared.full + 8U * static_cast<unsigned>(ring.stage), ring.parity);
    device::shared_is_written();
    const std::uint8_t* stage = shared.memory + static_cast<unsigned>(ring.stage) * plan.stage;
    Codec::decode(a.weight.first,
                  {.data = stage + plan.weights_at + first_row * Codec::kRowBytes,
                   .scales = stage + plan.scales_at + first_row * 4,
                   .step = step},
                  lane, left);
    const int decoded = ring.stage;
    ring.advance();
    return decoded;
  };
  const auto stage_at = [&](int stage) {
    return memory + static_cast<unsigned>(stage) * plan.stage;
  };
  const auto release = [&](int stage) {
    if (lane == 0) device::barrier_arrive(shared.empty + 8U * static_cast<unsigned>(stage));
  };
  LeftSide even;
  LeftSide odd;
  int before = 0;
  int now = decode(0, even);
#pragma unroll 1
  for (int step = 0; step < steps; step += 2) {
    start_products<kHalves>(even, stage_at(now), sums);
    device::warpgroup_wait<1>();  // those of the stage before have ended
    if (step > 0) release(before);
    before = now;
    now = decode(step + 1, odd);
    start_products<kHalves>(odd, stage_at(now), sums);
    device::warpgroup_wait<1>();
    release(before);
    before = now;
    if (step + 2 < steps) now = decode(step + 2, even);
  }
  device::warpgroup_wait<0>();
  release(before);
  device::hold(sums);
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

__device__ int first_output_of(const Product& a, const Tile& tile, int group) {
  return (tile.m_block * kWgmmaOutputs + group * kWgmmaGroupRows) / (a.gated ? 2 : 1);
}

// Results of up to 64 rows of activations, through shared memory, sixteen bytes a thread.
__device__ __forceinline__ void store_octets(const Product& a, const Tile& tile, int block,
                                             const float (&sums)[32], float unit, float up_unit,
                                             Results& results) {
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
#pragma unroll
    for (unsigned i = 0; i < 8; i += 4) {
      std::uint32_t pairs[4];
#pragma unroll
      for (unsigned j = 0; j < 4; ++j) {
        const float* four = &sums[4 * (i + j)];
        pairs[j] = device::bf16_pair(silu(four[0] * unit) * (four[2] * up_unit),
                                     silu(four[1] * unit) * (four[3] * up_unit));
      }
      device::store_matrices_transposed(at(8 * (i + matrix) + column, warp), pairs);
    }
  } else {
#pragma unroll
    for (unsigned i = 0; i < 8; i += 2) {
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
  const int first_output = first_output_of(a, tile, results.group);
  auto* out = static_cast<__nv_bfloat16*>(a.out) + tile.rows.group * a.out_group_stride;
#pragma unroll 4
  for (int i = thread; i < kWgmmaBlockRows * pieces; i += kGroupThreads) {
    const int row = i / pieces;
    const int piece = i % pieces;
    const int place = block * kWgmmaBlockRows + row;
    const int output = first_output + 8 * piece;
    if (place >= tile.rows.count || output >= a.outputs) continue;
    uint4 octet;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(octet.x), "=r"(octet.y), "=r"(octet.z), "=r"(octet.w)
                 : "r"(at(static_cast<unsigned>(row), static_cast<unsigned>(piece)))
                 : "memory");
    *reinterpret_cast<uint4*>(out + tile_row(a, tile.rows, place) * a.out_stride + output) = octet;
  }
}

// Likewise as f32, for results that are no whole octets of bf16 or want a factor or a bias.
__device__ __forceinline__ void store_any(const Product& a, const Tile& tile, int block,
                                          const float (&sums)[32], float unit, float up_unit,
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
  for (int i = 0; i < 16; ++i) {
    const float upper = sums[i / 2 * 4 + i % 2] * unit;
    const float lower = sums[i / 2 * 4 + 2 + i % 2];
    float* to = buffer + (i / 2 * 8 + 2 * (lane % 4) + i % 2) * kPitch + own_output;
    to[0] = a.gated ? silu(upper) * (lower * up_unit) : upper;
    if (!a.gated) to[8] = lower * unit;
  }
  results.meet();  // the results are there
  const int first_output = first_output_of(a, tile, results.group);
  const int here = min(outputs, static_cast<int>(a.outputs) - first_output);
  const int four = lane % 16 * 4;
#pragma unroll 1
  for (int i = thread / 16; i < kWgmmaBlockRows; i += kGroupThreads / 16) {
    const int place = block * kWgmmaBlockRows + i;
    if (place >= tile.rows.count || four >= here) continue;
    const std::int64_t row = tile_row(a, tile.rows, place);
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

// For 32 * kHalves rows of activations.
template <class Codec, int kHalves>
__device__ __forceinline__ void work_on(const Product& a, const WgmmaPlan& plan,
                                        const Shared& shared, const Tile& tile, Ring& ring,
                                        Results& results) {
  Sums<kHalves> sums = {};
  multiply<Codec, kHalves>(a, plan, shared, ring, sums);
  const std::int64_t expert = a.row_group != nullptr ? tile.rows.group : 0;
  const float unit = Codec::unit(device::weight_at(a.weight, expert));
  const float up_unit = a.gated ? Codec::unit(device::weight_at(a.up, expert)) : 1.0F;
#pragma unroll
  for (int block = 0; 2 * block < kHalves; ++block) {
    float part[32];
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      part[i] = 32 * block + i < 16 * kHalves ? sums[(32 * block + i) % (16 * kHalves)] : 0.0F;
    }
    if (plan.whole_octets) {
      store_octets(a, tile, block, part, unit, up_unit, results);
    } else {
      store_any(a, tile, block, part, unit, up_unit, results);
    }
  }
}

template <class Codec>
__device__ __forceinline__ void work(const Product& a, const WgmmaPlan& plan,
                                     const Shared& shared) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  Results results{
      .floats = reinterpret_cast<float*>(shared.memory + plan.results_at +
                                         static_cast<unsigned>(group) * kWgmmaResultBytes),
      .group = group,
      .whole_fours = plan.whole_fours};
  Ring ring{plan.stages};
  const int tiles = tiles_of(a, plan);
  for (int index = static_cast<int>(blockIdx.x); index < tiles;
       index += static_cast<int>(gridDim.x)) {
    const Tile tile = tile_at(a, plan, index);
    const auto on = [&]<int kHalves>() {
      work_on<Codec, kHalves>(a, plan, shared, tile, ring, results);
    };
    switch ((tile.rows.count + kRowsStep - 1) / kRowsStep) {
      case 1:
      case 2:
        on.template operator()<2>();
        break;
      case 3:
        on.template operator()<3>();
        break;
      case 4:
        on.template operator()<4>();
        break;
      case 5:
        on.template operator()<5>();
        break;
      default:
        on.template operator()<6>();
    }
  }
}

#endif

template <class Codec>
__global__ void __launch_bounds__(kThreads, 1)
    wgmma_kernel(const __grid_constant__ Product a, const __grid_constant__ WgmmaPlan plan) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const std::uint32_t address = device::shared_address(unaligned);
  std::uint8_t* memory = unaligned + ((address + 1023U) / 1024U * 1024U - address);
  const Shared shared{.memory = memory,
                      .full = device::shared_address(memory + plan.barriers_at),
                      .empty = device::shared_address(memory + plan.barriers_at) +
                               8U * static_cast<unsigned>(plan.stages)};
  if (threadIdx.x == 0) {
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(shared.full + 8U * static_cast<unsigned>(i), kCopyThreads);
      device::barrier_set_up(shared.empty + 8U * static_cast<unsigned>(i),
                             kWorkThreads / device::kWarpThreads);
    }
    device::barriers_are_set_up();
  }
  __syncthreads();  // the barriers are set up
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (threadIdx.x >= kWorkThreads) {
    device::give_up_registers<kCopyRegisters>();
    fill_stages<Codec>(a, plan, shared);
  } else {
    device::take_registers<kWorkRegisters>();
    work<Codec>(a, plan, shared);
  }
#else
  __trap();  // built for another device
#endif
}

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  if (cudaGetDevice(&device) == cudaSuccess) (void)cudaDeviceGetAttribute(&value, which, device);
  return value;
}

template <class Codec>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  const int multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
  const WgmmaPlan plan =
      wgmma_plan(a, Codec::kRowBytes, multiprocessors,
                 static_cast<unsigned>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)));
  GLM_CHECK(plan.stages > 1);
  const auto kernel = &wgmma_kernel<Codec>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  const std::int64_t row_tiles = a.row_group != nullptr ? a.tiles_max : a.groups * plan.row_tiles;
  const std::int64_t tiles = row_tiles * plan.m_blocks;
  return launch_early(
      {.grid = static_cast<unsigned>(tiles < multiprocessors ? tiles : multiprocessors),
       .threads = kThreads,
       .shared_bytes = plan.total},
      kernel, stream, a, plan);
}

}  // namespace

std::int64_t wgmma_tile_rows(const Product& a) {
  return wgmma_rows(a, attribute(cudaDevAttrMultiProcessorCount));
}

cudaError_t launch_wgmma(const Product& a, cudaStream_t stream) {
  if (is_fast_int4(a)) return launch<WgmmaInt4>(a, stream);
  return is_fast_fp4(a) ? launch<WgmmaFp4>(a, stream) : launch<WgmmaBf16>(a, stream);
}

}  // namespace glm::kernels::cuda
