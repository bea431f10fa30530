// Grouped-query attention on tensor cores, for few tokens a sequence: a block takes one token, up
// to 16 heads that share keys, and a share of the positions. Contract: kernels/ops/gqa_attention.h;
// heads of 128 columns.
//
// Four warps, each with its own ring of 16 positions a stage and its own softmax: they meet only at
// the end, in shared memory. Of a page, warp w takes positions 16 w .. 16 w + 15.
#include "kernels/cuda/attention_split.cuh"
#include "kernels/cuda/attention_variants.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/softmax_rows.cuh"
#include "kernels/device/tile_range.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kDim = 128;
constexpr int kRows = 16;  // heads of a block
constexpr int kWarps = 4;
constexpr int kThreads = kWarps * 32;
constexpr int kWarpTile = 16;
constexpr int kTile = kWarps * kWarpTile;  // positions
constexpr int kStages = 3;
constexpr int kSumStride = kDim + 8;
static_assert(device::kRowsOfPage % kTile == 0);

struct Stage {
  __nv_bfloat16 keys[kWarpTile * kDim];
  __nv_bfloat16 values[kWarpTile * kDim];
};

struct Rings {
  Stage stages[kWarps][kStages];
};

// Takes the place of the rings when all is read.
struct Results {
  float values[kWarps][kRows][kSumStride];
  float highest[kWarps][kRows];
  float sums[kWarps][kRows];
};

constexpr int kSharedBytes = sizeof(Rings) > sizeof(Results) ? sizeof(Rings) : sizeof(Results);

struct Loader {
  const device::PagedSource& source;
  const device::TileRange<kTile>& range;
  int kv_head;

  __device__ const __nv_bfloat16* place(int tile) const { return range.place(source, tile); }
  // This warp's positions of a tile. Always commits a group, so that groups count tiles.
  __device__ void start(Stage& to, int tile, const __nv_bfloat16* from) const {
    constexpr int kChunks = kDim / 8;
    if (tile < range.count) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      const int above = static_cast<int>(threadIdx.x) / 32 * kWarpTile;
      const int rows = range.rows(tile);
      // Each lane keeps its chunk and goes down the rows.
      const int chunk = lane % kChunks;
      const std::int64_t stride = source.key_stride(0);
      const __nv_bfloat16* key =
          source.key(from, kv_head, chunk * 8) + (above + lane / kChunks) * stride;
      const __nv_bfloat16* value =
          source.value(from, kv_head, chunk * 8) + (above + lane / kChunks) * stride;
#pragma unroll
      for (int i = 0; i < kWarpTile * kChunks / 32; ++i) {
        const int row = lane / kChunks + i * (32 / kChunks);
        const std::uint32_t at = device::swizzled<kDim>(row, chunk);
        // Rows nobody sees may hold anything, and 0 * NaN would be seen: they are zeros here.
        const bool valid = above + row < rows;
        device::copy_async_16(device::shared_address(to.keys) + at, key, valid);
        device::copy_async_16(device::shared_address(to.values) + at, value, valid);
        key += 32 / kChunks * stride;
        value += 32 / kChunks * stride;
      }
    }
    device::copy_async_commit();
  }
};

// The queries of the block's heads as left operands.
__device__ void load_queries(std::uint32_t (&q)[kDim / 16][4], const device::AttentionHeads& heads,
                             int token, int first_head, int head_count) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const int row = part * 8 + lane / 4;
    const bool valid = row < head_count;
    const __nv_bfloat16* from = heads.query(token, first_head + (valid ? row : 0)) + lane % 4 * 2;
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
      const auto* pair = reinterpret_cast<const std::uint32_t*>(from + step * 16);
      q[step][part] = valid ? pair[0] : 0;
      q[step][part + 2] = valid ? pair[4] : 0;
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    gqa_decode_kernel(device::PagedSource source, device::AttentionHeads heads,
                      device::AttentionPartial partial) {
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  const int split = static_cast<int>(blockIdx.x);
  const int token = static_cast<int>(blockIdx.z);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;
  const int blocks_of_group = (heads.group + kRows - 1) / kRows;
  const int kv_head = static_cast<int>(blockIdx.y) / blocks_of_group;
  const int first_row = static_cast<int>(blockIdx.y) % blocks_of_group * kRows;
  const int first_head = kv_head * heads.group + first_row;
  const int head_count = min(kRows, heads.group - first_row);

  const auto range = device::TileRange<kTile>::of(source, token, split, partial.splits);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const Loader loader{.source = source, .range = range, .kv_head = kv_head};
  if (range.count == 0) {
    partial.store_nothing(token, split, first_head, head_count);
    return;
  }
  Stage(&stages)[kStages] = reinterpret_cast<Rings*>(shared_bytes)->stages[warp];
  for (int tile = 0; tile < kStages - 1; ++tile) {
    loader.start(stages[tile], tile, loader.place(tile));
  }
  const __nv_bfloat16* next = loader.place(kStages - 1);  // looked up one tile ahead

  std::uint32_t q[kDim / 16][4];
  load_queries(q, heads, token, first_head, head_count);
  device::SoftmaxRows softmax;
  float values[kDim / 8][4] = {};
  for (int tile = 0; tile < range.count; ++tile) {
    device::copy_async_wait<kStages - 2>();
    __syncwarp();  // the tile is here for all lanes, and the one before it has been used
    const int ahead = tile + kStages - 1;
    loader.start(stages[ahead % kStages], ahead, next);
    next = loader.place(ahead + 1);
    const int own_first = (range.first + tile) * kTile + warp * kWarpTile;
    if (own_first >= range.visible) continue;  // the last tile may end before this warp's part
    const Stage& stage = stages[tile % kStages];

    float scores[kWarpTile / 8][4] = {};
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
      std::uint32_t keys[4];
      device::load_matrices(
          keys, device::shared_address(stage.keys) +
                    device::swizzled<kDim>(lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
      device::mma_16x8x16(scores[0], q[step], keys[0], keys[1]);
      device::mma_16x8x16(scores[1], q[step], keys[2], keys[3]);
    }
    const int seen = range.visible - own_first;
    softmax.update(scores, values, heads.scale_log2, seen, seen);
    const std::uint32_t weights[4] = {device::bf16_pair(scores[0][0], scores[0][1]),
                                      device::bf16_pair(scores[0][2], scores[0][3]),
                                      device::bf16_pair(scores[1][0], scores[1][1]),
                                      device::bf16_pair(scores[1][2], scores[1][3])};
#pragma unroll
    for (int n = 0; n < kDim / 8; n += 2) {
      std::uint32_t rows[4];
      device::load_matrices_transposed(rows, device::shared_address(stage.values) +
                                                 device::swizzled<kDim>(lane % 16, n + lane / 16));
      device::mma_16x8x16(values[n], weights, rows[0], rows[1]);
      device::mma_16x8x16(values[n + 1], weights, rows[2], rows[3]);
    }
  }
  softmax.finish();

  device::copy_async_wait<0>();
  __syncthreads();  // every ring has been read: results may take their place
  auto& results = *reinterpret_cast<Results*>(shared_bytes);
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const int row = part * 8 + lane / 4;
    if (lane % 4 == 0) {
      results.highest[warp][row] = softmax.highest[part] * heads.scale_log2;
      results.sums[warp][row] = softmax.sum[part];
    }
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(&results.values[warp][row][n * 8 + lane % 4 * 2]) = {
          values[n][part * 2], values[n][part * 2 + 1]};
    }
  }
  __syncthreads();  // results of all warps
  for (int row = thread / (kDim / 2); row < head_count; row += kThreads / (kDim / 2)) {
    const int column = thread % (kDim / 2) * 2;
    float highest = -INFINITY;
    for (int w = 0; w < kWarps; ++w) highest = fmaxf(highest, results.highest[w][row]);
    float sum = 0;
    float2 value = {};
    for (int w = 0; w < kWarps; ++w) {
      const float weight = device::exp2_approx(results.highest[w][row] - highest);
      const float2 part = *reinterpret_cast<const float2*>(&results.values[w][row][column]);
      sum += weight * results.sums[w][row];
      value.x += weight * part.x;
      value.y += weight * part.y;
    }
    const float scale = 1.0F / sum;
    partial.store(heads, token, split, first_head + row, column, value.x * scale, value.y * scale);
    if (column == 0 && partial.splits > 1) {
      partial.log_sum(token, split, first_head + row) = highest + log2f(sum);
    }
  }
}

}  // namespace

bool gqa_attention_mma_decode_supports(const GqaAttention& a, const AttentionWorkspace& workspace) {
  return split_supports(a, workspace,
                        {.key_dim = kDim, .value_dim = kDim, .shared_bytes = kSharedBytes});
}

cudaError_t gqa_attention_mma_decode(const GqaAttention& a, const AttentionWorkspace& workspace,
                                     cudaStream_t stream) {
  const device::AttentionHeads heads = device_heads(a.out, a.q, a.kv_heads, a.scale);
  return launch_split<GqaAttention, device::PagedSource>(
      {.kernel = &gqa_decode_kernel,
       .threads = kThreads,
       .shared_bytes = kSharedBytes,
       .blocks_of_multiprocessor = 2,
       .tile = kTile,
       .blocks = a.kv_heads * ((heads.group + kRows - 1) / kRows)},
      a, device_source(a), heads, workspace, stream);
}

}  // namespace glm::kernels::cuda
