// The first kernel of sample: one block for each piece of each row does bias and penalties and
// finds the best of the piece by the scores of greedy choice or of the draw. Contract:
// kernels/ops/sample.h.
#include "kernels/cuda/sample_row.cuh"

namespace glm::kernels::cuda {
namespace sampling {
namespace {

constexpr int kGroup = 4;  // ids that share a load, and a call of the random generator

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
       p += kThreads * kGroup) {
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

__device__ void collect_changes(const Args& a, const SampleRow& row, int first, Changes& changes) {
  for (int i = static_cast<int>(threadIdx.x); i < kSampleChunk; i += kThreads) {
    changes.times[i] = 0;
    changes.biases[i] = 0;
  }
  __syncthreads();  // all are cleared
  if (draw::penalizes(row)) count_history(a, row, first, changes.times);
  for (int i = static_cast<int>(threadIdx.x); i < row.bias_count; i += kThreads) {
    const LogitBias bias = a.biases[row.bias_first + i];
    const int at = bias.id - first;
    if (at >= 0 && at < kSampleChunk) changes.biases[at] = bias.bias;
  }
  __syncthreads();  // counts and biases are complete
}

// Ids of a thread come in their order, so the first of equals stays. Without a draw scores are the
// logits themselves.
template <bool kChanged, bool kDraws>
__device__ SamplePart scan_piece(const Args& a, const SampleRow& row, unsigned index, int first,
                                 const Changes& changes) {
  using Score = std::conditional_t<kDraws, double, float>;
  const int end = min(first + kSampleChunk, a.ids_of(row));
  const float* logits = a.raw(index);
  float* adjusted = kChanged && draw::filters(row) ? a.adjusted(index) : nullptr;
  const bool aligned = reinterpret_cast<std::uintptr_t>(logits) % sizeof(float4) == 0;
  const double per_temperature = kDraws ? draw::per_temperature(row) : 1.0;
  SamplePart part = nothing();
  Score best = 0;
#pragma unroll 2
  for (int group = first + static_cast<int>(threadIdx.x) * kGroup; group < end;
       group += kThreads * kGroup) {
    float raw[kGroup];
    if (aligned && group + kGroup <= end) {
      *reinterpret_cast<float4*>(raw) = *reinterpret_cast<const float4*>(logits + group);
    } else {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) raw[i] = group + i < end ? logits[group + i] : 0.0F;
    }
    draw::Words words;
    if constexpr (kDraws) words = draw::random_words(row.seed, row.position, group / kGroup);
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      const int id = group + i;
      if (id >= end) break;
      const float logit = kChanged ? draw::adjusted(row, raw[i], changes.biases[id - first],
                                                    changes.times[id - first])
                                   : draw::adjusted(row, raw[i], 0.0F, 0);
      if (kChanged && adjusted != nullptr) adjusted[id] = logit;
      Score score = logit;
      if constexpr (kDraws) score = draw::score(logit, per_temperature, words.word[i]);
      if (part.best.id < 0 || score > best) {
        best = score;
        part.best.id = id;
      }
      part.highest = fmaxf(part.highest, logit);
      if (logit != draw::never()) part.lowest = fminf(part.lowest, logit);
      part.raw_highest = fmaxf(part.raw_highest, raw[i]);
      if (!draw::is_finite(raw[i])) part.finite = 0;
    }
  }
  part.best.score = best;
  return block_joined(part);
}

__global__ void __launch_bounds__(kThreads) scan_kernel(Args a) {
  __shared__ __align__(16) Changes shared;
  const unsigned index = blockIdx.y;
  const SampleRow row = a.rows[index];
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  if (blockIdx.x == 0 && draw::filters(row)) {
    SampleBins& bins = a.space.bins[index];
    for (int i = static_cast<int>(threadIdx.x); i < kSampleBins; i += kThreads) {
      bins.masses[i] = 0;
      bins.counts[i] = 0;
    }
    if (threadIdx.x == 0) a.space.lists[index].count = 0;
  }
  SamplePart part;
  if (changes(row)) {
    collect_changes(a, row, first, shared);
    part = draw::draws(row) ? scan_piece<true, true>(a, row, index, first, shared)
                            : scan_piece<true, false>(a, row, index, first, shared);
  } else {
    part = draw::draws(row) ? scan_piece<false, true>(a, row, index, first, shared)
                            : scan_piece<false, false>(a, row, index, first, shared);
  }
  if (threadIdx.x == 0) a.parts(index)[blockIdx.x] = part;
}

}  // namespace

cudaError_t launch_scan(const Args& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.chunks), static_cast<unsigned>(a.row_count));
  scan_kernel<<<grid, kThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace sampling

cudaError_t launch_sample(const Sample& a, const SampleWorkspace& space, cudaStream_t stream) {
  if (a.logits.size(0) == 0) return cudaSuccess;
  const sampling::Args args{.out = a.out,
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
  cudaError_t code = sampling::launch_scan(args, stream);
  if (code == cudaSuccess && a.may_filter) code = sampling::launch_bins(args, stream);
  if (code == cudaSuccess && a.may_filter) code = sampling::launch_gather(args, stream);
  if (code == cudaSuccess) code = sampling::launch_choose(args, stream);
  return code;
}

}  // namespace glm::kernels::cuda
