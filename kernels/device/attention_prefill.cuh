// Attention on tensor cores for many tokens of a sequence (flash style): a block takes 16 rows a
// warp — tokens with the query heads that share one kv head — and walks over the positions once,
// keys and values in two stages of shared memory. Tokens of different sequences in one block are
// served after each other. A row's result depends on nothing but its own query, keys and values:
// positions come in the same tiles whatever the block, and a tile that a row does not see changes
// nothing.
#pragma once

#include "kernels/device/attention_source.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/softmax_rows.cuh"

namespace glm::kernels::device {

template <int kKey, int kValue, int kRows, int kTile>
struct PrefillShared {
  __nv_bfloat16 queries[kRows * kKey];
  __nv_bfloat16 keys[2][kTile * kKey];
  __nv_bfloat16 values[2][kTile * kValue];
};

template <int kColumns>
struct Columns {
  static constexpr int kCount = kColumns;
};

// The rows of one warp: kParts of 16.
template <int kKey, int kValue, int kParts, int kTile>
struct PrefillWarp {
  int lane;
  std::uint32_t queries;  // shared address of the warp's rows
  SoftmaxRows softmax[kParts];
  float values[kParts][kValue / 8][4];

  __device__ void clear() {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      softmax[p] = {};
#pragma unroll
      for (int n = 0; n < kValue / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i) values[p][n][i] = 0;
      }
    }
  }

  // seen: how many of the tile's positions each of this lane's rows sees.
  __device__ void add_tile(std::uint32_t keys, std::uint32_t rows, float scale_log2,
                           const int (&seen)[kParts][2]) {
    float scores[kParts][kTile / 8][4] = {};
#pragma unroll
    for (int step = 0; step < kKey / 16; ++step) {
      std::uint32_t q[kParts][4];
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        load_matrices(q[p], queries + swizzled<kKey>(p * 16 + lane % 16, step * 2 + lane / 16));
      }
#pragma unroll
      for (int n = 0; n < kTile / 8; n += 2) {
        std::uint32_t k[4];
        load_matrices(
            k, keys + swizzled<kKey>(n * 8 + lane / 16 * 8 + lane % 8, step * 2 + lane / 8 % 2));
#pragma unroll
        for (int p = 0; p < kParts; ++p) {
          mma_16x8x16(scores[p][n], q[p], k[0], k[1]);
          mma_16x8x16(scores[p][n + 1], q[p], k[2], k[3]);
        }
      }
    }
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      softmax[p].update(scores[p], values[p], scale_log2, seen[p][0], seen[p][1]);
    }
#pragma unroll
    for (int step = 0; step < kTile / 16; ++step) {
      std::uint32_t weights[kParts][4];
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        const float(&left)[4] = scores[p][step * 2];
        const float(&right)[4] = scores[p][step * 2 + 1];
        weights[p][0] = bf16_pair(left[0], left[1]);
        weights[p][1] = bf16_pair(left[2], left[3]);
        weights[p][2] = bf16_pair(right[0], right[1]);
        weights[p][3] = bf16_pair(right[2], right[3]);
      }
#pragma unroll
      for (int n = 0; n < kValue / 8; n += 2) {
        std::uint32_t v[4];
        load_matrices_transposed(v, rows + swizzled<kValue>(step * 16 + lane % 16, n + lane / 16));
#pragma unroll
        for (int p = 0; p < kParts; ++p) {
          mma_16x8x16(values[p][n], weights[p], v[0], v[1]);
          mma_16x8x16(values[p][n + 1], weights[p], v[2], v[3]);
        }
      }
    }
  }
};

// Grid: blocks of rows, longest first; kv heads. kTile divides a page.
template <typename Source, int kKey, int kValue, int kWarps, int kParts, int kTile>
__global__ void __launch_bounds__(kWarps * 32, 8 / kWarps)
    attention_prefill_kernel(Source source, AttentionHeads heads) {
  constexpr int kWarpRows = kParts * 16;
  constexpr int kRows = kWarps * kWarpRows;
  using Shared = PrefillShared<kKey, kValue, kRows, kTile>;
  constexpr int kThreads = kWarps * 32;
  extern __shared__ __align__(128) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<Shared*>(shared_bytes);
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int warp = thread / 32;
  const int kv_head = static_cast<int>(blockIdx.y);
  const int first_row = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kRows;
  const int rows = min(kRows, heads.tokens * heads.group - first_row);
  const int first_token = first_row / heads.group;
  const int end_token = (first_row + rows - 1) / heads.group + 1;

  // Each thread keeps its chunk of the columns and goes down the rows.
  const auto load_rows = [&](const __nv_bfloat16* to, const __nv_bfloat16* from,
                             std::int64_t stride, int seen, auto columns) {
    constexpr int kChunks = decltype(columns)::kCount / 8;
    constexpr int kStep = kThreads / kChunks;
    static_assert(kThreads % kChunks == 0 && kTile % kStep == 0);
    const int chunk = thread % kChunks;
    const int first = thread / kChunks;
    from += first * stride;
#pragma unroll
    for (int i = 0; i < kTile / kStep; ++i) {
      const int row = first + i * kStep;
      // Rows nobody sees may hold anything, and 0 * NaN would be seen: they are zeros here.
      const bool valid = row < seen;
      copy_async_16(shared_address(to) + swizzled<kChunks * 8>(row, chunk), from, valid);
      if (i + 1 < kTile / kStep && row + kStep < seen) from += kStep * stride;
    }
  };
  const auto load_tile = [&](int stage, int sequence, int first, int visible) {
    const auto place = source.place(sequence, first);
    const int key_column = thread % (kKey / 8) * 8;
    load_rows(shared.keys[stage], source.key(place, kv_head, key_column),
              source.key_stride(key_column), visible - first, Columns<kKey>{});
    load_rows(shared.values[stage], source.value(place, kv_head, thread % (kValue / 8) * 8),
              source.value_stride(), visible - first, Columns<kValue>{});
  };

  for (int i = thread; i < kRows * (kKey / 8); i += kThreads) {
    const int row = i / (kKey / 8);
    const int chunk = i % (kKey / 8);
    const bool valid = row < rows;
    const int flat = first_row + (valid ? row : 0);
    copy_async_16(
        shared_address(shared.queries) + swizzled<kKey>(row, chunk),
        heads.query(flat / heads.group, kv_head * heads.group + flat % heads.group) + chunk * 8,
        valid);
  }

  const auto row_of = [&](int p, int half) {
    return first_row + warp * kWarpRows + p * 16 + half * 8 + lane / 4;
  };
  PrefillWarp<kKey, kValue, kParts, kTile> own = {
      .lane = lane,
      .queries = shared_address(shared.queries) + warp * swizzled<kKey>(kWarpRows, 0)};
  for (int run = first_token; run < end_token;) {
    const int sequence = source.sequence(run);
    int run_end = run + 1;
    while (run_end < end_token && source.sequence(run_end) == sequence) ++run_end;
    const int visible = source.visible(run_end - 1);
    int seen[kParts][2];  // by this lane's rows, from position 0; nothing if of another run
    int warp_seen = 0;
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = row_of(p, half) / heads.group;
        seen[p][half] = token >= run && token < run_end ? source.visible(token) : 0;
        warp_seen = max(warp_seen, seen[p][half]);
      }
    }
    warp_seen = __reduce_max_sync(0xFFFFFFFFU, warp_seen);

    __syncthreads();  // the stages of the run before have been read
    load_tile(0, sequence, 0, visible);
    copy_async_commit();
    own.clear();
    const int tiles = (visible + kTile - 1) / kTile;
    for (int tile = 0; tile < tiles; ++tile) {
      copy_async_wait<0>();
      __syncthreads();  // the tile is here for all, and the one before it has been read
      const int stage = tile % 2;
      const int first = tile * kTile;
      if (tile + 1 < tiles) load_tile(1 - stage, sequence, first + kTile, visible);
      copy_async_commit();
      if (first >= warp_seen) continue;  // nothing for this warp: it only keeps the barriers
      own.add_tile(shared_address(shared.keys[stage]), shared_address(shared.values[stage]),
                   heads.scale_log2, seen);
#pragma unroll
      for (int p = 0; p < kParts; ++p) {
        seen[p][0] -= kTile;
        seen[p][1] -= kTile;
      }
    }
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      own.softmax[p].finish();
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int flat = row_of(p, half);
        const int token = flat / heads.group;
        if (token < run || token >= run_end) continue;
        __nv_bfloat16* out = heads.result(token, kv_head * heads.group + flat % heads.group);
        const float scale = 1.0F / own.softmax[p].sum[half];
#pragma unroll
        for (int n = 0; n < kValue / 8; ++n) {
          *reinterpret_cast<std::uint32_t*>(out + n * 8 + lane % 4 * 2) =
              bf16_pair(own.values[p][n][half * 2] * scale, own.values[p][n][half * 2 + 1] * scale);
        }
      }
    }
    run = run_end;
  }
}

}  // namespace glm::kernels::device
