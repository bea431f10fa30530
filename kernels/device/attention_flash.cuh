// Attention by Hopper's warpgroups for many tokens of a sequence (sm_90a), as
// attention_prefill.cuh: a block takes 128 rows — tokens with the query heads that share one kv
// head — and walks over the positions once. One warp copies keys and values into two stages each;
// two warpgroups multiply, 64 rows each: the scores of a tile beside the values of the one before.
//
// A row's result depends on nothing but its own query, keys and values: positions come in the same
// tiles whatever the block, and a tile that a row does not see changes nothing.
#pragma once

#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/flash_products.cuh"
#include "kernels/device/flash_source.cuh"
#include "kernels/device/softmax_rows.cuh"

namespace glm::kernels::device {

constexpr int kFlashGroups = 2;  // that multiply
constexpr int kFlashRows = kFlashGroups * 64;
constexpr int kFlashReaders = kFlashGroups * 128;
constexpr int kFlashThreads = kFlashReaders + 128;
constexpr int kFlashStages = 2;

// Blocks of 64 columns with all their rows. Starts at a multiple of 1,024 bytes.
template <int kDim, int kTile, int kQueryRows = kFlashRows>
struct FlashShared {
  static constexpr int kBlocks = kDim / kFlashBlock;
  static constexpr int kRows = kQueryRows;
  __nv_bfloat16 queries[kBlocks][kQueryRows][kFlashBlock];
  __nv_bfloat16 keys[kFlashStages][kBlocks][kTile][kFlashBlock];
  __nv_bfloat16 values[kFlashStages][kBlocks][kTile][kFlashBlock];
  std::uint64_t keys_full[kFlashStages];
  std::uint64_t keys_empty[kFlashStages];
  std::uint64_t values_full[kFlashStages];
  std::uint64_t values_empty[kFlashStages];
  std::uint64_t values_raw;  // values whose last rows are to become zeros
};

// A barrier for each stage; `turn` counts the tiles of a block.
struct StageBarriers {
  std::uint32_t first;
  __device__ std::uint32_t of(int turn) const {
    return first + static_cast<std::uint32_t>(turn % kFlashStages) * 8;
  }
  // Until this turn's phase is over.
  __device__ void wait(int turn) const {
    barrier_wait(of(turn), static_cast<unsigned>(turn / kFlashStages) % 2);
  }
  // Until the phase of the turn before in this stage is over, if there was one.
  __device__ void wait_before(int turn) const {
    if (turn >= kFlashStages) wait(turn - kFlashStages);
  }
};

// Those of a block.
struct FlashBarriers {
  StageBarriers keys_full, keys_empty, values_full, values_empty;

  template <class Shared>
  __device__ static FlashBarriers of(const Shared& shared) {
    return {{shared_address(shared.keys_full)},
            {shared_address(shared.keys_empty)},
            {shared_address(shared.values_full)},
            {shared_address(shared.values_empty)}};
  }
  // By one thread; `readers` warps read a stage.
  __device__ void set_up(unsigned readers) const {
    for (int stage = 0; stage < kFlashStages; ++stage) {
      barrier_set_up(keys_full.of(stage), 1);
      barrier_set_up(values_full.of(stage), 1);
      barrier_set_up(keys_empty.of(stage), readers);
      barrier_set_up(values_empty.of(stage), readers);
    }
  }
};

// The tokens of a block that belong to one sequence and follow each other.
struct FlashRun {
  int first;
  int end;
  int sequence;
  int visible;  // positions, to the last token

  template <typename Source>
  __device__ static FlashRun from(const Source& source, int first, int end_token) {
    FlashRun run{
        .first = first, .end = first + 1, .sequence = source.sequence(first), .visible = 0};
    while (run.end < end_token && source.sequence(run.end) == run.sequence) ++run.end;
    run.visible = source.visible(run.end - 1);
    return run;
  }
};

// The work of the warp that copies: tiles of one run.
template <typename Source, class Shared, int kTile>
struct FlashCopies {
  const Source& source;
  Shared& shared;
  int kv_head;
  const FlashBarriers& barriers;
  int turn = 0;
  int raw_turns = 0;

  __device__ void copy(const FlashRun& run) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int first = 0; first < run.visible; first += kTile, ++turn) {
      const int seen = min(kTile, run.visible - first);
      const int blocks = (seen + kFlashBlock - 1) / kFlashBlock;
      const unsigned bytes = static_cast<unsigned>(blocks * Shared::kBlocks) * kFlashBlockBytes;
      const bool raw = !Source::kClean && seen < kTile;
      const int stage = turn % kFlashStages;
      if (lane == 0) {
        int place[kTile / kFlashBlock];
#pragma unroll
        for (int b = 0; b < kTile / kFlashBlock; ++b) {
          place[b] = b < blocks ? source.place(run.sequence, first + b * kFlashBlock) : 0;
        }
        barriers.keys_empty.wait_before(turn);
        barrier_arrive_expecting(barriers.keys_full.of(turn), bytes);
#pragma unroll
        for (int c = 0; c < Shared::kBlocks; ++c) {
#pragma unroll
          for (int b = 0; b < kTile / kFlashBlock; ++b) {
            if (b >= blocks) continue;
            source.copy_keys(shared_address(shared.keys[stage][c][b * kFlashBlock]), place[b],
                             kv_head, c * kFlashBlock, barriers.keys_full.of(turn));
          }
        }
        barriers.values_empty.wait_before(turn);
        const std::uint32_t barrier =
            raw ? shared_address(&shared.values_raw) : barriers.values_full.of(turn);
        barrier_arrive_expecting(barrier, bytes);
#pragma unroll
        for (int c = 0; c < Shared::kBlocks; ++c) {
#pragma unroll
          for (int b = 0; b < kTile / kFlashBlock; ++b) {
            if (b >= blocks) continue;
            source.copy_values(shared_address(shared.values[stage][c][b * kFlashBlock]), place[b],
                               kv_head, c * kFlashBlock, barrier);
          }
        }
      }
      if (raw) clear_rows(stage, seen);
    }
  }

  // Rows nobody sees may hold anything, and 0 * NaN would be seen.
  __device__ void clear_rows(int stage, int seen) {
    constexpr int kChunks = kFlashBlock / 8;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    __syncwarp();
    barrier_wait(shared_address(&shared.values_raw), static_cast<unsigned>(raw_turns) % 2);
    ++raw_turns;
    for (int c = 0; c < Shared::kBlocks; ++c) {
      auto* chunks = reinterpret_cast<uint4*>(shared.values[stage][c]);
      for (int i = seen * kChunks + lane; i < kTile * kChunks; i += 32) chunks[i] = {};
    }
    shared_is_written();
    __syncwarp();  // zeros of all lanes
    if (lane == 0) barrier_arrive(barriers.values_full.of(turn));
  }
};

// The products of one warpgroup.
template <class Shared, int kDim, int kTile>
struct FlashProducts {
  std::uint32_t queries;  // shared address of the warpgroup's rows
  const Shared& shared;
  SoftmaxRows softmax;
  float scores[kTile / 8][4];
  float values[kDim / 8][4];
  std::uint32_t weights[kTile / 16][4];

  __device__ void clear() {
    softmax = {};
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) values[n][i] = 0;
    }
  }

  __device__ void start_scores(int stage) {
    constexpr std::uint32_t kQueryBlock = Shared::kRows * kFlashBlock * 2;
    constexpr std::uint32_t kKeyBlock = kTile * kFlashBlock * 2;
    const std::uint32_t keys = shared_address(shared.keys[stage]);
    flash::hold(scores);
    warpgroup_begin();
#pragma unroll
    for (int step = 0; step < kDim / 16; ++step) {
      const int block = step / 4;
      const std::uint32_t column = step % 4 * 32;
      flash::multiply_keys(scores, flash::rows_of(queries + block * kQueryBlock + column),
                           flash::rows_of(keys + block * kKeyBlock + column), step > 0);
    }
    warpgroup_commit();
  }

  __device__ void start_values(int stage) {
    constexpr unsigned kValueBlock = kTile * kFlashBlock * 2;
    const std::uint32_t rows = shared_address(shared.values[stage]);
    flash::hold(values);
    warpgroup_begin();
#pragma unroll
    for (int step = 0; step < kTile / 16; ++step) {
      flash::multiply_values(values, weights[step],
                             flash::columns_of(rows + step * 16 * kFlashBlock * 2, kValueBlock));
    }
    warpgroup_commit();
  }

  // Weights as left operands.
  __device__ void pack() {
#pragma unroll
    for (int step = 0; step < kTile / 16; ++step) {
      const float(&left)[4] = scores[step * 2];
      const float(&right)[4] = scores[step * 2 + 1];
      weights[step][0] = bf16_pair(left[0], left[1]);
      weights[step][1] = bf16_pair(left[2], left[3]);
      weights[step][2] = bf16_pair(right[0], right[1]);
      weights[step][3] = bf16_pair(right[2], right[3]);
    }
  }
};

// Grid: kv heads; blocks of rows, longest first, those of all heads before shorter ones.
template <typename Source, int kDim, int kTile>
__global__ void __launch_bounds__(kFlashThreads, 1)
    attention_flash_kernel(const __grid_constant__ Source source, AttentionHeads heads) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using Shared = FlashShared<kDim, kTile>;
  extern __shared__ unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<Shared*>(reinterpret_cast<std::uintptr_t>(shared_bytes) +
                                            (-shared_address(shared_bytes) & 1023U));
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int kv_head = static_cast<int>(blockIdx.x);
  const int first_row = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kFlashRows;
  const int rows = min(kFlashRows, heads.tokens * heads.group - first_row);
  const int first_token = first_row / heads.group;
  const int end_token = (first_row + rows - 1) / heads.group + 1;
  const auto barriers = FlashBarriers::of(shared);
  const auto& [keys_full, keys_empty, values_full, values_empty] = barriers;
  if (thread == 0) {
    barriers.set_up(kFlashReaders / 32);
    barrier_set_up(shared_address(&shared.values_raw), 1);
    barriers_are_set_up();
  }
  __syncthreads();  // barriers
  wait_for_earlier_kernels();
  let_later_kernels_start();

  if (thread >= kFlashReaders) {
    give_up_registers<40>();
    if (thread >= kFlashReaders + 32) return;
    FlashCopies<Source, Shared, kTile> copies{
        .source = source, .shared = shared, .kv_head = kv_head, .barriers = barriers};
    for (int token = first_token; token < end_token;) {
      const FlashRun run = FlashRun::from(source, token, end_token);
      copies.copy(run);
      token = run.end;
    }
    return;
  }

  take_registers<232>();
  const int group = thread / 128;
  const int group_row = first_row + group * 64;
  const int group_end = min(group_row + 64, first_row + rows);
  {
    // The queries of this warpgroup.
    constexpr int kChunks = kDim / 8;
    for (int i = thread % 128; i < 64 * kChunks; i += 128) {
      const int row = i / kChunks;
      const int chunk = i % kChunks;
      const int flat = group_row + row;
      uint4 value = {};
      if (flat < group_end) {
        value = *reinterpret_cast<const uint4*>(
            heads.query(flat / heads.group, kv_head * heads.group + flat % heads.group) +
            chunk * 8);
      }
      *reinterpret_cast<uint4*>(
          &shared.queries[chunk / 8][group * 64 + row][(chunk % 8 ^ row % 8) * 8]) = value;
    }
    shared_is_written();
    asm volatile("bar.sync %0, 128;\n" ::"r"(1 + group) : "memory");  // queries of all threads
  }
  const auto release = [&](const StageBarriers& empty, int turn) {
    __syncwarp();
    if (lane == 0) barrier_arrive(empty.of(turn));
  };
  const auto row_of = [&](int half) {
    return group_row + thread % 128 / 32 * 16 + half * 8 + lane / 4;
  };

  FlashProducts<Shared, kDim, kTile> own = {
      .queries = shared_address(shared.queries[0][group * 64]), .shared = shared};
  int turn = 0;
  for (int token = first_token; token < end_token;) {
    const FlashRun run = FlashRun::from(source, token, end_token);
    token = run.end;
    const int tiles = (run.visible + kTile - 1) / kTile;
    int seen[2];  // by this lane's rows, from position 0; nothing if of another run
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int of = row_of(half) / heads.group;
      seen[half] = of >= run.first && of < run.end ? source.visible(of) : 0;
    }
    // Of the warpgroup's last row in the run.
    int own_tiles = 0;
    if (group_end > group_row) {
      const int last = min((group_end - 1) / heads.group, run.end - 1);
      if (last >= run.first && group_row / heads.group < run.end) {
        own_tiles = (source.visible(last) + kTile - 1) / kTile;
      }
    }

    own.clear();
    float factors[2];
    if (own_tiles > 0) {
      keys_full.wait(turn);
      own.start_scores(turn % kFlashStages);
      warpgroup_wait<0>();
      flash::hold(own.scores);
      release(keys_empty, turn);
      own.softmax.weigh(own.scores, factors, heads.scale_log2, seen[0], seen[1]);
      own.pack();
    }
    for (int tile = 1; tile < own_tiles; ++tile, ++turn) {
      // The scores of this tile beside the values of the one before.
      keys_full.wait(turn + 1);
      own.start_scores((turn + 1) % kFlashStages);
      values_full.wait(turn);
      own.start_values(turn % kFlashStages);
      warpgroup_wait<1>();
      flash::hold(own.scores);
      release(keys_empty, turn + 1);
      own.softmax.weigh(own.scores, factors, heads.scale_log2, seen[0] - tile * kTile,
                        seen[1] - tile * kTile);
      warpgroup_wait<0>();
      flash::hold(own.values);
      release(values_empty, turn);
      SoftmaxRows::shrink(own.values, factors);
      own.pack();
    }
    if (own_tiles > 0) {
      values_full.wait(turn);
      own.start_values(turn % kFlashStages);
      warpgroup_wait<0>();
      flash::hold(own.values);
      release(values_empty, turn);
      ++turn;
    }
    for (int tile = own_tiles; tile < tiles; ++tile, ++turn) {
      // Nothing for this warpgroup. The stage was filled: then earlier turns are over.
      keys_full.wait(turn);
      release(keys_empty, turn);
      values_full.wait(turn);
      release(values_empty, turn);
    }

    own.softmax.finish();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int flat = row_of(half);
      const int of = flat / heads.group;
      if (flat >= group_end || of < run.first || of >= run.end) continue;
      __nv_bfloat16* out = heads.result(of, kv_head * heads.group + flat % heads.group);
      const float scale = 1.0F / own.softmax.sum[half];
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        *reinterpret_cast<std::uint32_t*>(out + n * 8 + lane % 4 * 2) =
            bf16_pair(own.values[n][half * 2] * scale, own.values[n][half * 2 + 1] * scale);
      }
    }
  }
#else
  __trap();  // built for another device
#endif
}

}  // namespace glm::kernels::device
