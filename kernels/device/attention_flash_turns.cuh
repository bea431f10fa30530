// Attention as attention_flash.cuh has it, for matrices of one sequence and so few rows that its
// blocks would leave multiprocessors without any: a block takes 64 rows, and its two warpgroups
// take turns at the tiles of positions, of which each then has half. What they have is added at the
// end, for which either gets the other's half of the columns.
//
// Within this kernel a row's result depends on nothing but its own query, keys and values.
#pragma once

#include "kernels/device/attention_flash.cuh"

namespace glm::kernels::device {

constexpr int kFlashTurnRows = 64;

template <int kDim, int kTile>
struct FlashTurnShared : FlashShared<kDim, kTile, kFlashTurnRows> {
  // Of the lanes of either warpgroup: the highest scores of their two rows, and the sums.
  float4 softmax[kFlashGroups][128];
};

// Adds up what two warpgroups have of the same rows: values[0] to [kHalf - 1] become the lower half
// of the columns in the first, the upper half in the second, and the softmax's sums those of both.
template <class Shared, class Products>
__device__ void add_other_turns(Shared& shared, Products& own, int group, float scale_log2) {
  constexpr int kValues = sizeof(own.values) / sizeof(own.values[0]);
  constexpr int kHalf = kValues / 2;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  // Keys of a warpgroup's own stage, which none of its warps reads any more: the last product with
  // values began when all four had their scores.
  static_assert(sizeof(shared.keys[0]) >= kHalf * 128 * sizeof(float4));
  auto* to = reinterpret_cast<float4*>(shared.keys[group]) + thread;
#pragma unroll
  for (int n = 0; n < kHalf; ++n) {
    const auto& low = own.values[n];
    const auto& high = own.values[n + kHalf];
    // The other's half leaves.
    to[n * 128] = group == 0 ? float4{high[0], high[1], high[2], high[3]}
                             : float4{low[0], low[1], low[2], low[3]};
  }
  shared.softmax[group][thread] = {own.softmax.highest[0], own.softmax.highest[1],
                                   own.softmax.sum[0], own.softmax.sum[1]};
  asm volatile("bar.sync 3, 256;\n" ::: "memory");  // both have left what the other needs
  const float4 theirs = shared.softmax[1 - group][thread];
  const float highest[2] = {theirs.x, theirs.y};
  const float sums[2] = {theirs.z, theirs.w};
  float mine[2];
  float others[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float above = fmaxf(own.softmax.highest[half], highest[half]);
    // A row that has seen nothing stays at zeros, not at infinity minus infinity.
    const float base = above == -INFINITY ? 0.0F : above * scale_log2;
    mine[half] = exp2_approx(own.softmax.highest[half] * scale_log2 - base);
    others[half] = exp2_approx(highest[half] * scale_log2 - base);
    // In the order of the warpgroups: both get the same.
    const float first = group == 0 ? own.softmax.sum[half] * mine[half] : sums[half] * others[half];
    const float second =
        group == 0 ? sums[half] * others[half] : own.softmax.sum[half] * mine[half];
    own.softmax.sum[half] = first + second;
  }
  const auto* from = reinterpret_cast<const float4*>(shared.keys[1 - group]) + thread;
#pragma unroll
  for (int n = 0; n < kHalf; ++n) {
    const float4 other = from[n * 128];
    const float parts[4] = {other.x, other.y, other.z, other.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float value = group == 0 ? own.values[n][i] : own.values[n + kHalf][i];
      own.values[n][i] = value * mine[i / 2] + parts[i] * others[i / 2];
    }
  }
}

// Grid: heads; blocks of rows, longest first, those of all heads before shorter ones.
template <typename Source, int kDim, int kTile>
__global__ void __launch_bounds__(kFlashThreads, 1)
    attention_flash_turns_kernel(const __grid_constant__ Source source, AttentionHeads heads) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static_assert(kFlashStages == kFlashGroups, "a warpgroup has a stage of its own");
  using Shared = FlashTurnShared<kDim, kTile>;
  extern __shared__ unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<Shared*>(reinterpret_cast<std::uintptr_t>(shared_bytes) +
                                            (-shared_address(shared_bytes) & 1023U));
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int head = static_cast<int>(blockIdx.x);
  const int first_token = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kFlashTurnRows;
  const int end_token = min(first_token + kFlashTurnRows, heads.tokens);
  const auto barriers = FlashBarriers::of(shared);
  const auto& [keys_full, keys_empty, values_full, values_empty] = barriers;
  if (thread == 0) {
    barriers.set_up(kFlashReaders / kFlashGroups / 32);
    barriers_are_set_up();
  }
  __syncthreads();  // barriers
  wait_for_earlier_kernels();
  let_later_kernels_start();

  if (thread >= kFlashReaders) {
    give_up_registers<40>();
    if (thread >= kFlashReaders + 32) return;
    static_assert(Source::kClean);
    FlashCopies<Source, Shared, kTile> copies{
        .source = source, .shared = shared, .kv_head = head, .barriers = barriers};
    copies.copy(FlashRun::from(source, first_token, end_token));
    return;
  }

  take_registers<232>();
  const int group = thread / 128;
  {
    // Both load the queries.
    constexpr int kChunks = kDim / 8;
    for (int i = thread; i < kFlashTurnRows * kChunks; i += kFlashReaders) {
      const int row = i / kChunks;
      const int chunk = i % kChunks;
      uint4 value = {};
      if (first_token + row < end_token) {
        value = *reinterpret_cast<const uint4*>(heads.query(first_token + row, head) + chunk * 8);
      }
      *reinterpret_cast<uint4*>(&shared.queries[chunk / 8][row][(chunk % 8 ^ row % 8) * 8]) = value;
    }
    shared_is_written();
    asm volatile("bar.sync 1, 256;\n" ::: "memory");  // queries of all threads
  }
  const auto release = [&](const StageBarriers& empty, int turn) {
    __syncwarp();
    if (lane == 0) barrier_arrive(empty.of(turn));
  };
  const auto row_of = [&](int half) {
    return first_token + thread % 128 / 32 * 16 + half * 8 + lane / 4;
  };

  FlashProducts<Shared, kDim, kTile> own = {.queries = shared_address(shared.queries[0][0]),
                                            .shared = shared};
  own.clear();
  const int tiles = (source.visible(end_token - 1) + kTile - 1) / kTile;
  int seen[2];  // by this lane's rows, from position 0
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int token = row_of(half);
    seen[half] = token < end_token ? source.visible(token) : 0;
  }
  float factors[2];
  int tile = group;
  if (tile < tiles) {
    keys_full.wait(tile);
    own.start_scores(group);
    warpgroup_wait<0>();
    flash::hold(own.scores);
    release(keys_empty, tile);
    own.softmax.weigh(own.scores, factors, heads.scale_log2, seen[0] - tile * kTile,
                      seen[1] - tile * kTile);
    own.pack();
    for (int next = tile + kFlashGroups; next < tiles; tile = next, next += kFlashGroups) {
      // The scores of this tile beside the values of the one before.
      keys_full.wait(next);
      own.start_scores(group);
      values_full.wait(tile);
      own.start_values(group);
      warpgroup_wait<1>();
      flash::hold(own.scores);
      release(keys_empty, next);
      own.softmax.weigh(own.scores, factors, heads.scale_log2, seen[0] - next * kTile,
                        seen[1] - next * kTile);
      warpgroup_wait<0>();
      flash::hold(own.values);
      release(values_empty, tile);
      SoftmaxRows::shrink(own.values, factors);
      own.pack();
    }
    values_full.wait(tile);
    own.start_values(group);
    warpgroup_wait<0>();
    flash::hold(own.values);
  }
  own.softmax.finish();
  add_other_turns(shared, own, group, heads.scale_log2);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int token = row_of(half);
    if (token >= end_token) continue;
    __nv_bfloat16* out = heads.result(token, head) + group * (kDim / 2);
    const float scale = 1.0F / own.softmax.sum[half];
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      *reinterpret_cast<std::uint32_t*>(out + n * 8 + lane % 4 * 2) =
          bf16_pair(own.values[n][half * 2] * scale, own.values[n][half * 2 + 1] * scale);
    }
  }
#else
  __trap();  // built for another device
#endif
}

}  // namespace glm::kernels::device
