// Absorbed latent attention on tensor cores, for few tokens: a block takes one token, up to 32
// heads and a share of the positions, and reads every cached row once for all its heads, as key and
// as value. Contract: kernels/ops/mla_attention.h; 512 + 64 columns.
//
// Eight warps. For the scores, warp w owns a quarter of the columns (w % 4) of half of a tile's
// positions (w / 4): its part of the queries stays in registers for good, and each key is read from
// shared memory once. The quarters meet in shared memory. For the values, warp w owns columns
// 64 w .. 64 w + 63 of all heads. Between the two, eight threads a head keep its softmax.
#include "kernels/cuda/attention_split.cuh"
#include "kernels/cuda/attention_variants.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/latent_tiles.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kWidth = device::kLatentWidth;
constexpr int kLatent = device::kLatentDim;
constexpr int kRows = 32;  // heads of a block
constexpr int kTile = device::kLatentTile;
constexpr int kThreads = device::kLatentThreads;
constexpr int kQuarters = 4;
constexpr int kSteps = kWidth / 16 / kQuarters;  // products of 16 columns in a quarter
static_assert(kSteps == device::kLatentSteps);
constexpr int kScoreStride = kTile + 8;  // padded: rows start in different banks

// What passes between scores, softmax and values.
struct Exchange {
  float scores[kQuarters][kRows][kScoreStride];
  __nv_bfloat16 weights[kRows][kScoreStride];
  float shrink[kRows];
  float sums[kRows];
};

template <typename Tiles>
struct Shared {
  typename Tiles::Shared tiles;
  Exchange exchange;
};

// This warp's quarter of the queries as left operands.
__device__ void load_queries(std::uint32_t (&q)[kSteps][2][4], const device::AttentionHeads& heads,
                             int token, int first_head, int first_column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      const int head = first_head + m * 16 + part * 8 + lane / 4;
      const bool valid = head < heads.heads;
      const __nv_bfloat16* from =
          heads.query(token, valid ? head : 0) + first_column + lane % 4 * 2;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const auto* pair = reinterpret_cast<const std::uint32_t*>(from + step * 16);
        q[step][m][part] = valid ? pair[0] : 0;
        q[step][m][part + 2] = valid ? pair[4] : 0;
      }
    }
  }
}

// scores[quarter] of this warp's half of the tile, while `tiles` works on the next one.
template <typename Tiles>
__device__ void score(Exchange& shared, Tiles& tiles, const __nv_bfloat16* tile,
                      const std::uint32_t (&q)[kSteps][2][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int quarter = warp % kQuarters;
  const int half = warp / kQuarters;
  const int row = half * 16 + lane / 16 * 8 + lane % 8;
  float s[2][2][4] = {};
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    std::uint32_t keys[4];
    const int chunk = (quarter * kSteps + step) * 2 + lane / 8 % 2;
    device::load_matrices(keys,
                          device::shared_address(tile) + device::swizzled<kWidth>(row, chunk));
    const auto piece = tiles.fetch(step);
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      device::mma_16x8x16(s[m][0], q[step][m], keys[0], keys[1]);
      device::mma_16x8x16(s[m][1], q[step][m], keys[2], keys[3]);
    }
    tiles.put(step, piece);
  }
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int column = half * 16 + n * 8 + lane % 4 * 2;
      float* to = &shared.scores[quarter][m * 16 + lane / 4][column];
      *reinterpret_cast<float2*>(to) = {s[m][n][0], s[m][n][1]};
      *reinterpret_cast<float2*>(to + 8 * kScoreStride) = {s[m][n][2], s[m][n][3]};
    }
  }
}

// Of one head, the same in its eight threads.
struct Softmax {
  float highest = -INFINITY;
  float sum = 0;  // of this thread's columns
};

// Four scores of one head from their quarters; leaves weights and how much earlier sums shrink.
__device__ void weigh(Exchange& shared, Softmax& state, float scale_log2, int rows) {
  const int head = static_cast<int>(threadIdx.x) / 8;
  const int column = static_cast<int>(threadIdx.x) % 8 * 4;
  float s[4] = {};
#pragma unroll
  for (int quarter = 0; quarter < kQuarters; ++quarter) {
    const float4 part = *reinterpret_cast<const float4*>(&shared.scores[quarter][head][column]);
    s[0] += part.x;
    s[1] += part.y;
    s[2] += part.z;
    s[3] += part.w;
  }
  float highest = state.highest;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    s[i] = column + i < rows ? s[i] * scale_log2 : -INFINITY;
    highest = fmaxf(highest, s[i]);
  }
#pragma unroll
  for (int offset = 1; offset < 8; offset *= 2) {
    highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFU, highest, offset));
  }
  // The first position of a tile is visible: highest is finite.
  const float shrink = device::exp2_approx(state.highest - highest);
  state.highest = highest;
#pragma unroll
  for (int i = 0; i < 4; ++i) s[i] = device::exp2_approx(s[i] - highest);
  state.sum = state.sum * shrink + ((s[0] + s[1]) + (s[2] + s[3]));
  *reinterpret_cast<uint2*>(&shared.weights[head][column]) = {device::bf16_pair(s[0], s[1]),
                                                              device::bf16_pair(s[2], s[3])};
  if (column == 0) shared.shrink[head] = shrink;
}

// values[m][n] += weights * tile, this warp's 64 columns.
__device__ void accumulate(float (&values)[2][8][4], const Exchange& shared,
                           const __nv_bfloat16* tile) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
    const float upper = shared.shrink[m * 16 + lane / 4];
    const float lower = shared.shrink[m * 16 + 8 + lane / 4];
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      values[m][n][0] *= upper;
      values[m][n][1] *= upper;
      values[m][n][2] *= lower;
      values[m][n][3] *= lower;
    }
  }
#pragma unroll
  for (int step = 0; step < kTile / 16; ++step) {
    std::uint32_t weights[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      device::load_matrices(
          weights[m],
          device::shared_address(&shared.weights[m * 16 + lane % 16][step * 16 + lane / 16 * 8]));
    }
    const int row = step * 16 + lane % 16;
#pragma unroll
    for (int n = 0; n < 8; n += 2) {
      std::uint32_t rows[4];
      device::load_matrices_transposed(
          rows,
          device::shared_address(tile) + device::swizzled<kWidth>(row, warp * 8 + n + lane / 16));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        device::mma_16x8x16(values[m][n], weights[m], rows[0], rows[1]);
        device::mma_16x8x16(values[m][n + 1], weights[m], rows[2], rows[3]);
      }
    }
  }
}

template <typename Tiles>
__global__ void __launch_bounds__(kThreads, 1)
    mla_decode_kernel(typename Tiles::Source source, device::AttentionHeads heads,
                      device::AttentionPartial partial) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  auto& all = *reinterpret_cast<Shared<Tiles>*>(shared_bytes);
  Exchange& shared = all.exchange;
  const int split = static_cast<int>(blockIdx.x);
  const int first_head = static_cast<int>(blockIdx.y) * kRows;
  const int token = static_cast<int>(blockIdx.z);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;

  const auto range = device::LatentRange::of(source, token, split, partial.splits);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (range.count == 0) {
    partial.store_nothing(token, split, first_head, min(kRows, heads.heads - first_head));
    return;
  }
  Tiles tiles(all.tiles, source, range);

  std::uint32_t q[kSteps][2][4];
  load_queries(q, heads, token, first_head, warp % kQuarters * kSteps * 16);
  Softmax softmax;
  float values[2][8][4] = {};
  for (int tile = 0; tile < range.count; ++tile) {
    const __nv_bfloat16* rows = tiles.take(tile);
    score(shared, tiles, rows, q);
    __syncthreads();  // all quarters of the scores
    weigh(shared, softmax, heads.scale_log2, range.rows(tile));
    __syncthreads();  // weights
    accumulate(values, shared, rows);
  }

  const int own_head = thread / 8;
  for (int offset = 1; offset < 8; offset *= 2) {
    softmax.sum += __shfl_xor_sync(0xFFFFFFFFU, softmax.sum, offset);
  }
  if (thread % 8 == 0) {
    shared.sums[own_head] = softmax.sum;
    if (partial.splits > 1 && first_head + own_head < heads.heads) {
      partial.log_sum(token, split, first_head + own_head) = softmax.highest + log2f(softmax.sum);
    }
  }
  __syncthreads();  // sums
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      const int row = m * 16 + part * 8 + lane / 4;
      if (first_head + row >= heads.heads) continue;
      const float scale = 1.0F / shared.sums[row];
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        partial.store(heads, token, split, first_head + row, warp * 64 + n * 8 + lane % 4 * 2,
                      values[m][n][part * 2] * scale, values[m][n][part * 2 + 1] * scale);
      }
    }
  }
}

// Stages where there is much shared memory, and where a block has 99 KB.
using PlainMany = device::PlainTiles<3>;
using PlainFew = device::PlainTiles<2>;
using Fp8Many = device::Fp8Tiles<4, 2>;
using Fp8Few = device::Fp8Tiles<1, 1>;
static_assert(Fp8Few::kRecordBytes ==
              LatentRecord{.latent = kLatent, .rope = kWidth - kLatent}.size_bytes());

template <typename Tiles>
constexpr int kSharedBytes = sizeof(Shared<Tiles>);

template <typename Many, typename Few>
cudaError_t launch(const MlaAbsorbed& a, const typename Many::Source& source,
                   const AttentionWorkspace& workspace, cudaStream_t stream) {
  const device::AttentionHeads heads = device_heads(a.out, a.q, 1, a.scale);
  const bool many = workspace.shared_bytes_max >= kSharedBytes<Many>;
  return launch_split<MlaAbsorbed, typename Many::Source>(
      {.kernel = many ? &mla_decode_kernel<Many> : &mla_decode_kernel<Few>,
       .threads = kThreads,
       .shared_bytes = many ? kSharedBytes<Many> : kSharedBytes<Few>,
       .tile = kTile,
       .blocks = (heads.heads + kRows - 1) / kRows},
      a, source, heads, workspace, stream);
}

}  // namespace

bool mla_absorbed_mma_decode_supports(const MlaAbsorbed& a, const AttentionWorkspace& workspace) {
  return split_supports(
      a, workspace,
      {.key_dim = kWidth,
       .value_dim = kLatent,
       .shared_bytes = a.rows.plain() ? kSharedBytes<PlainFew> : kSharedBytes<Fp8Few>});
}

cudaError_t mla_absorbed_mma_decode(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                    cudaStream_t stream) {
  return a.rows.plain() ? launch<PlainMany, PlainFew>(a, device_source(a), workspace, stream)
                        : launch<Fp8Many, Fp8Few>(a, device_latents(a), workspace, stream);
}

}  // namespace glm::kernels::cuda
