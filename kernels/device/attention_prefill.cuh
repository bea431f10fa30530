// Attention on tensor cores for many tokens of a sequence (flash style): a block takes 16 rows a warp
// — tokens with the query heads that share one kv head — and walks over the positions once, keys and
// values in two stages of shared memory. Tokens of different sequences in one block are served after
// each other. A row's result depends on nothing but its own query, keys and values: positions come in
// the same tiles whatever the block, and a tile that a row does not see changes nothing.
#pragma once

#include "kernels/device/attention_source.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/softmax_rows.cuh"

namespace glm::kernels::device {

template <int kKey, int kValue, int kWarps, int kTile>
struct PrefillShared {
  static constexpr int kRows = kWarps * 16;
  __nv_bfloat16 queries[kRows * kKey];
  __nv_bfloat16 keys[2][kTile * kKey];
  __nv_bfloat16 values[2][kTile * kValue];
};

// Grid: blocks of rows, longest first; kv heads. kTile divides a page.
template <typename Source, int kKey, int kValue, int kWarps, int kTile>
__global__ void __launch_bounds__(kWarps * 32, 1)
    attention_prefill_kernel(Source source, AttentionHeads heads) {
  using Shared = PrefillShared<kKey, kValue, kWarps, kTile>;
  constexpr int kRows = Shared::kRows;
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

  const auto load_tile = [&](int stage, int sequence, int first, int visible) {
    const auto place = source.place(sequence, first);
    const int seen = visible - first;
    // Rows nobody sees may hold anything, and 0 * NaN would be seen: they are zeros here.
#pragma unroll
    for (int i = 0; i < kTile * kKey / 8 / kThreads; ++i) {
      const int row = (thread + i * kThreads) / (kKey / 8);
      const int chunk = (thread + i * kThreads) % (kKey / 8);
      const bool valid = row < seen;
      copy_async_16(shared.keys[stage] + swizzled<kKey>(row, chunk),
                    source.key(place, valid ? row : 0, kv_head, chunk * 8), valid);
    }
#pragma unroll
    for (int i = 0; i < kTile * kValue / 8 / kThreads; ++i) {
      const int row = (thread + i * kThreads) / (kValue / 8);
      const int chunk = (thread + i * kThreads) % (kValue / 8);
      const bool valid = row < seen;
      copy_async_16(shared.values[stage] + swizzled<kValue>(row, chunk),
                    source.value(place, valid ? row : 0, kv_head, chunk * 8), valid);
    }
  };

  for (int i = thread; i < kRows * (kKey / 8); i += kThreads) {
    const int row = i / (kKey / 8);
    const int chunk = i % (kKey / 8);
    const bool valid = row < rows;
    const int flat = first_row + (valid ? row : 0);
    copy_async_16(shared.queries + swizzled<kKey>(row, chunk),
                  heads.query(flat / heads.group, kv_head * heads.group + flat % heads.group) +
                      chunk * 8,
                  valid);
  }

  int own_token[2];
  for (int part = 0; part < 2; ++part) {
    const int row = warp * 16 + part * 8 + lane / 4;
    own_token[part] = row < rows ? (first_row + row) / heads.group : -1;
  }

  for (int run = first_token; run < end_token;) {
    const int sequence = source.sequence(run);
    int run_end = run + 1;
    while (run_end < end_token && source.sequence(run_end) == sequence) ++run_end;
    const int visible = source.visible(run_end - 1);
    int seen[2];  // of this lane's rows, from position 0
    for (int part = 0; part < 2; ++part) {
      const bool mine = own_token[part] >= run && own_token[part] < run_end;
      seen[part] = mine ? source.visible(own_token[part]) : 0;
    }
    const int warp_seen = __reduce_max_sync(0xFFFFFFFFU, max(seen[0], seen[1]));

    __syncthreads();  // the stages of the run before have been read
    load_tile(0, sequence, 0, visible);
    copy_async_commit();
    SoftmaxRows softmax;
    float values[kValue / 8][4] = {};
    const int tiles = (visible + kTile - 1) / kTile;
    for (int tile = 0; tile < tiles; ++tile) {
      copy_async_wait<0>();
      __syncthreads();  // the tile is here for all, and the one before it has been read
      const int stage = tile % 2;
      const int first = tile * kTile;
      if (tile + 1 < tiles) load_tile(1 - stage, sequence, first + kTile, visible);
      copy_async_commit();
      if (first >= warp_seen) continue;  // none of this warp's rows: barriers are all it has to do

      float scores[kTile / 8][4] = {};
#pragma unroll
      for (int step = 0; step < kKey / 16; ++step) {
        std::uint32_t q[4];
        load_matrices(q, shared.queries +
                             swizzled<kKey>(warp * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
        for (int n = 0; n < kTile / 8; n += 2) {
          std::uint32_t keys[4];
          load_matrices(keys, shared.keys[stage] + swizzled<kKey>(n * 8 + lane / 16 * 8 + lane % 8,
                                                                  step * 2 + lane / 8 % 2));
          mma_16x8x16(scores[n], q, keys[0], keys[1]);
          mma_16x8x16(scores[n + 1], q, keys[2], keys[3]);
        }
      }
      softmax.update(scores, values, heads.scale_log2, seen[0] - first, seen[1] - first);
#pragma unroll
      for (int step = 0; step < kTile / 16; ++step) {
        const float(&left)[4] = scores[step * 2];
        const float(&right)[4] = scores[step * 2 + 1];
        const std::uint32_t weights[4] = {bf16_pair(left[0], left[1]), bf16_pair(left[2], left[3]),
                                          bf16_pair(right[0], right[1]),
                                          bf16_pair(right[2], right[3])};
#pragma unroll
        for (int n = 0; n < kValue / 8; n += 2) {
          std::uint32_t v[4];
          load_matrices_transposed(v, shared.values[stage] + swizzled<kValue>(step * 16 + lane % 16,
                                                                              n + lane / 16));
          mma_16x8x16(values[n], weights, v[0], v[1]);
          mma_16x8x16(values[n + 1], weights, v[2], v[3]);
        }
      }
    }
    softmax.finish();
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      if (seen[part] == 0) continue;
      const int flat = first_row + warp * 16 + part * 8 + lane / 4;
      __nv_bfloat16* out =
          heads.result(own_token[part], kv_head * heads.group + flat % heads.group);
      const float scale = 1.0F / softmax.sum[part];
#pragma unroll
      for (int n = 0; n < kValue / 8; ++n) {
        *reinterpret_cast<std::uint32_t*>(out + n * 8 + lane % 4 * 2) =
            bf16_pair(values[n][part * 2] * scale, values[n][part * 2 + 1] * scale);
      }
    }
    run = run_end;
  }
}

}  // namespace glm::kernels::device
