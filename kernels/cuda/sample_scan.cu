// The first kernel of sample: one block for each piece of each row does bias and penalties and
// finds the best of the piece by the scores of greedy choice or of the draw. Contract:
// kernels/ops/sample.h.
#include "kernels/cuda/sample_row.cuh"

namespace glm::kernels::cuda {
namespace sampling {
namespace {

constexpr int kThreads = 512;
constexpr int kGroup = 4;  // ids that share one call of the random generator

// Counts how often each id of the piece is among the last tokens that the penalties look at. Every
// piece reads all of them: nothing has to be cleared or shared between blocks.
__device__ void count_history(const Args& a, const SampleRow& row, int first,
                              std::uint32_t* times) {
  const int all = row.position + 1;
  const int seen = row.repeat_last_n < 0 ? all : min(all, row.repeat_last_n);
  for (int p = all - seen + static_cast<int>(threadIdx.x); p < all; p += kThreads) {
    const int at = *a.history.cell(row.sequence, p) - first;
    if (at >= 0 && at < kSampleChunk) atomicAdd(times + at, 1U);
  }
}

__global__ void __launch_bounds__(kThreads) scan_kernel(Args a) {
  __shared__ std::uint32_t times[kSampleChunk];
  __shared__ float biases[kSampleChunk];
  const unsigned index = blockIdx.y;
  const SampleRow row = a.rows[index];
  const int thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  const int end = min(first + kSampleChunk, a.ids_of(row));
  const bool changed = changes(row);
  if (changed) {
    for (int i = thread; i < kSampleChunk; i += kThreads) {
      times[i] = 0;
      biases[i] = 0;
    }
    __syncthreads();  // all are cleared
    if (draw::penalizes(row)) count_history(a, row, first, times);
    for (int i = thread; i < row.bias_count; i += kThreads) {
      const LogitBias bias = a.biases[row.bias_first + i];
      const int at = bias.id - first;
      if (at >= 0 && at < kSampleChunk) biases[at] = bias.bias;
    }
    __syncthreads();  // counts and biases are complete
  }
  const bool draws = draw::draws(row);
  float* adjusted = changed && draw::filters(row) ? a.adjusted(index) : nullptr;
  if (blockIdx.x == 0 && cuts(row)) {
    SampleBins& bins = a.space.bins[index];
    for (int i = thread; i < kSampleBins; i += kThreads) {
      bins.masses[i] = 0;
      bins.counts[i] = 0;
    }
  }
  const float* logits = a.raw(index);
  const bool aligned = reinterpret_cast<std::uintptr_t>(logits) % sizeof(float4) == 0;
  const double per_temperature = draws ? draw::per_temperature(row) : 1.0;
  SamplePart part = nothing();
  for (int group = first + thread * kGroup; group < end; group += kThreads * kGroup) {
    float raw[kGroup] = {};
    if (aligned && group + kGroup <= end) {
      const float4 four = *reinterpret_cast<const float4*>(logits + group);
      raw[0] = four.x;
      raw[1] = four.y;
      raw[2] = four.z;
      raw[3] = four.w;
    } else {
#pragma unroll
      for (int i = 0; i < kGroup; ++i) raw[i] = group + i < end ? logits[group + i] : 0.0F;
    }
    const draw::Words words =
        draws ? draw::random_words(row.seed, row.position, group / kGroup) : draw::Words{};
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      const int id = group + i;
      if (id >= end) break;
      const float logit = changed
                              ? draw::adjusted(row, raw[i], biases[id - first], times[id - first])
                              : draw::adjusted(row, raw[i], 0.0F, 0);
      if (adjusted != nullptr) adjusted[id] = logit;
      const double score =
          draws ? draw::score(logit, per_temperature, words.word[i]) : static_cast<double>(logit);
      part = joined(part, {.score = score,
                           .id = id,
                           .highest = logit,
                           .lowest = logit == draw::never() ? INFINITY : logit,
                           .raw_highest = raw[i],
                           .finite = draw::is_finite(raw[i]) ? 1 : 0});
    }
  }
  part = block_joined(part);
  if (thread == 0) a.parts(index)[blockIdx.x] = part;
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
  for (const auto launch :
       {&sampling::launch_scan, &sampling::launch_bins, &sampling::launch_choose}) {
    if (const cudaError_t code = launch(args, stream); code != cudaSuccess) return code;
  }
  return cudaSuccess;
}

}  // namespace glm::kernels::cuda
