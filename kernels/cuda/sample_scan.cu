// The first kernel of sample: one block for each piece of each row does bias and penalties and
// finds the best of the piece by the scores of greedy choice or of the draw. Contract:
// kernels/ops/sample.h.
//
// Most ids have but a bound of their score (sample_scores.cuh); the score of the highest bound is
// computed, and then those of the ids whose bounds are not below it: one or two of a piece.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scores.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace sampling {
namespace {

constexpr int kScanThreads = 256;
constexpr int kScanWarps = kScanThreads / device::kWarpThreads;
constexpr int kGroup = 4;  // ids that share a load, and a call of the random generator
constexpr int kOwn = kSampleChunk / kScanThreads;  // ids of a thread

// Adds up how often each id of the piece is among the last tokens that the penalties look at. Every
// piece reads all of them: nothing has to be cleared or shared between blocks.
__device__ void count_history(const Args& a, const SampleRow& row, int first,
                              std::uint32_t* times) {
  const int all = row.position + 1;
  const int begin = row.repeat_last_n < 0 ? 0 : max(0, all - row.repeat_last_n);
  const auto count = [&](int position, int id) {
    const int at = id - first;
    if (position >= begin && position < all && at >= 0 && at < kSampleChunk) {
      atomicAdd(times + at, 1U);
    }
  };
#pragma unroll 4
  for (int p = begin / kGroup * kGroup + static_cast<int>(threadIdx.x) * kGroup; p < all;
       p += kScanThreads * kGroup) {
    const int4 ids = *reinterpret_cast<const int4*>(a.history.cell(row.sequence, p));
    count(p, ids.x);
    count(p + 1, ids.y);
    count(p + 2, ids.z);
    count(p + 3, ids.w);
  }
}

struct Changes {
  std::uint32_t times[kSampleChunk];
  float biases[kSampleChunk];
};

struct Shared {
  Changes changes;
  float bounds[kScanWarps];  // the highest of each warp
  SamplePart parts[kScanWarps];
  float limit;
};

__device__ void collect_changes(const Args& a, const SampleRow& row, int first, Changes& changes) {
  for (int i = static_cast<int>(threadIdx.x); i < kSampleChunk; i += kScanThreads) {
    changes.times[i] = 0;
    changes.biases[i] = 0;
  }
  __syncthreads();  // all are cleared
  if (draw::penalizes(row)) count_history(a, row, first, changes.times);
  for (int i = static_cast<int>(threadIdx.x); i < row.bias_count; i += kScanThreads) {
    const LogitBias bias = a.biases[row.bias_first + i];
    const int at = bias.id - first;
    if (at >= 0 && at < kSampleChunk) changes.biases[at] = bias.bias;
  }
  __syncthreads();  // counts and biases are complete
}

__device__ inline float warp_highest(float x) {
  return of_rank(__reduce_max_sync(kFullWarp, rank_of(x)));
}
__device__ inline float warp_lowest(float x) {
  return of_rank(__reduce_min_sync(kFullWarp, rank_of(x)));
}

// Rare, and not worth the room in every kind of scan.
static __device__ __noinline__ double drawn_score(std::uint64_t seed, int position,
                                                  double per_temperature, float logit, int id) {
  const draw::Words words = draw::random_words(seed, position, id / kGroup);
  std::uint32_t random = words.word[0];
#pragma unroll
  for (int i = 1; i < kGroup; ++i) random = id % kGroup == i ? words.word[i] : random;
  return draw::score(logit, per_temperature, random);
}

// Scores and their bounds. Without a draw both are the logit itself.
template <bool kDraws>
class Scores {
 public:
  __device__ Scores(const SampleRow& row)
      : row_(row),
        per_temperature_(kDraws ? draw::per_temperature(row) : 1),
        slope_(bound_slope(per_temperature_)) {}

  __device__ float bound(float logit, std::uint32_t random) const {
    return kDraws ? bound_of_draw(logit, slope_, random) : logit;
  }
  // Ids with bounds below this have lower scores.
  __device__ float limit(double score) const { return limit_of_bounds(score, kDraws); }
  __device__ SampleBest score(float logit, int id) const {
    if (!kDraws) return {.score = logit, .id = id};
    return {.score = drawn_score(row_.seed, row_.position, per_temperature_, logit, id), .id = id};
  }

 private:
  const SampleRow& row_;
  double per_temperature_;
  float slope_;
};

template <bool kChanged, bool kDraws>
__device__ void scan_piece(const Args& a, const SampleRow& row, unsigned index, int first,
                           Shared& shared) {
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / device::kWarpThreads;
  const int lane = thread % device::kWarpThreads;
  const int end = min(first + kSampleChunk, a.ids_of(row));
  const float* logits = a.raw(index);
  const bool aligned = reinterpret_cast<std::uintptr_t>(logits) % sizeof(float4) == 0;
  const auto group_of = [&](int own) {
    return first + (own / kGroup * kScanThreads + thread) * kGroup;
  };
  const auto id_of = [&](int own) { return group_of(own) + own % kGroup; };
  const auto adjusted = [&](int id, float raw) {
    return kChanged ? draw::adjusted(row, raw, shared.changes.biases[id - first],
                                     shared.changes.times[id - first])
                    : fmaxf(raw, draw::never());  // also of NaN
  };

  float raw[kOwn];
  float spoiled = 0;  // stays so, times finite numbers
  if (first + kSampleChunk <= end && aligned) {
#pragma unroll
    for (int own = 0; own < kOwn; own += kGroup) {
      const float4 four = *reinterpret_cast<const float4*>(logits + group_of(own));
      raw[own] = four.x;
      raw[own + 1] = four.y;
      raw[own + 2] = four.z;
      raw[own + 3] = four.w;
    }
#pragma unroll
    for (int own = 0; own < kOwn; ++own) spoiled = fmaf(raw[own], 0.0F, spoiled);
  } else {
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      raw[own] = id_of(own) < end ? logits[id_of(own)] : draw::never();
    }
#pragma unroll
    for (int own = 0; own < kOwn; ++own) {
      if (id_of(own) < end) spoiled = fmaf(raw[own], 0.0F, spoiled);
    }
  }
  const Scores<kDraws> scores(row);
  SamplePart part = nothing();
  float highest_bound = -INFINITY;
  float bounds[kOwn];
#pragma unroll
  for (int own = 0; own < kOwn; ++own) {
    draw::Words words;
    if (kDraws && own % kGroup == 0) {
      words = draw::random_words(row.seed, row.position, group_of(own) / kGroup);
    }
    float logit = raw[own];
    if (!kChanged) {
      logit = adjusted(0, logit);
    } else if (id_of(own) < end) {
      logit = adjusted(id_of(own), logit);
      if (draw::filters(row)) a.adjusted(index)[id_of(own)] = logit;
    }
    part.highest = fmaxf(part.highest, logit);
    if (!kDraws && logit != draw::never()) part.lowest = fminf(part.lowest, logit);
    if (kChanged) part.raw_highest = fmaxf(part.raw_highest, raw[own]);
    bounds[own] = scores.bound(logit, words.word[own % kGroup]);
    highest_bound = fmaxf(highest_bound, bounds[own]);
  }
  const float warp_bound = warp_highest(highest_bound);
  part.highest = warp_highest(part.highest);
  if (!kDraws) part.lowest = warp_lowest(part.lowest);
  part.raw_highest = kChanged ? warp_highest(part.raw_highest) : part.highest;
  part.finite = __all_sync(kFullWarp, spoiled == 0) ? 1 : 0;
  if (lane == 0) {
    shared.bounds[warp] = warp_bound;
    shared.parts[warp] = part;
  }
  if (thread == 0) shared.limit = -INFINITY;
  __syncthreads();  // bounds of all warps are there

  float block_bound = -INFINITY;
  int top_warp = 0;  // the first that has it
#pragma unroll
  for (int w = 0; w < kScanWarps; ++w) {
    if (shared.bounds[w] <= block_bound) continue;
    block_bound = shared.bounds[w];
    top_warp = w;
  }
  const auto marked = [&](const auto& is) {
    unsigned marks = 0;
#pragma unroll
    for (int own = 0; own < kOwn; ++own) marks |= is(bounds[own]) ? 1U << own : 0;
    return marks;
  };
  const auto score_of = [&](int own) {
    const int id = id_of(own);
    return id < end ? scores.score(adjusted(id, logits[id]), id) : SampleBest{.score = 0, .id = -1};
  };
  SampleBest best{.score = 0, .id = -1};
  unsigned scored = 0;
  if (warp == top_warp) {
    const unsigned marks = marked([&](float bound) { return bound == block_bound; });
    const unsigned lanes = __ballot_sync(kFullWarp, marks != 0);
    if (lane == __ffs(static_cast<int>(lanes)) - 1) {
      scored = marks & -marks;
      best = score_of(__ffs(static_cast<int>(marks)) - 1);
      if (best.id >= 0) shared.limit = scores.limit(best.score);
    }
  }
  __syncthreads();  // the limit is there
  const float limit = shared.limit;
  if (!(highest_bound < limit)) {
    unsigned marks = marked([&](float bound) { return !(bound < limit); }) & ~scored;
    for (; marks != 0; marks &= marks - 1) {
      best = better(best, score_of(__ffs(static_cast<int>(marks)) - 1));
    }
  }
  if (__any_sync(kFullWarp, best.id >= 0)) {
    for (int mask = device::kWarpThreads / 2; mask > 0; mask /= 2) {
      best = better(best, from_lane(best, mask));
    }
  }
  if (lane == 0) shared.parts[warp].best = best;
  __syncthreads();  // the parts of all warps are there
  if (warp > 0) return;
  part = shared.parts[lane % kScanWarps];
  for (int mask = kScanWarps / 2; mask > 0; mask /= 2) part = joined(part, from_lane(part, mask));
  if (thread == 0) a.parts(index)[blockIdx.x] = part;
}

__global__ void __launch_bounds__(kScanThreads) scan_kernel(Args a) {
  __shared__ __align__(16) Shared shared;
  const unsigned index = blockIdx.y;
  const SampleRow row = a.rows[index];
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  if (blockIdx.x == 0 && draw::filters(row)) {
    SampleBins& bins = a.space.bins[index];
    for (int i = static_cast<int>(threadIdx.x); i < kSampleBins; i += kScanThreads) {
      bins.masses[i] = 0;
      bins.counts[i] = 0;
    }
    if (threadIdx.x == 0) a.space.lists[index].count = 0;
  }
  // Rows with filters draw later; if their largest logit is not finite, it wins.
  const bool draws = draw::draws(row) && !draw::filters(row);
  if (changes(row)) {
    collect_changes(a, row, first, shared.changes);
    draws ? scan_piece<true, true>(a, row, index, first, shared)
          : scan_piece<true, false>(a, row, index, first, shared);
  } else {
    draws ? scan_piece<false, true>(a, row, index, first, shared)
          : scan_piece<false, false>(a, row, index, first, shared);
  }
}

}  // namespace

Args args_of(const Sample& a, const SampleWorkspace& space) {
  return {.out = a.out,
          .logits = a.logits.as<float>(),
          .rows = a.rows,
          .history = {.pages = a.history.pages.as<std::int32_t>(),
                      .table = a.history.table.as<std::int32_t>(),
                      .table_stride = a.history.table.stride(0)},
          .biases = a.biases,
          .space = space,
          .logits_stride = a.logits.stride(0),
          .row_count = static_cast<int>(a.logits.size(0)),
          .vocab = static_cast<int>(a.logits.size(1)),
          .chunks = static_cast<int>(sample_chunks(a.logits.size(1)))};
}

cudaError_t launch_scan(const Args& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.chunks), static_cast<unsigned>(a.row_count));
  return launch_early({.grid = grid, .threads = kScanThreads}, &scan_kernel, stream, a);
}

}  // namespace sampling

cudaError_t launch_sample(const Sample& a, const SampleWorkspace& space, cudaStream_t stream) {
  if (a.logits.size(0) == 0) return cudaSuccess;
  const sampling::Args args = sampling::args_of(a, space);
  cudaError_t code = sampling::launch_scan(args, stream);
  if (code == cudaSuccess && a.may_filter) code = sampling::launch_bins(args, stream);
  if (code == cudaSuccess && a.may_filter) code = sampling::launch_gather(args, stream);
  if (code == cudaSuccess) code = sampling::launch_choose(args, stream);
  return code;
}

}  // namespace glm::kernels::cuda
