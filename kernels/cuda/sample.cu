// Two kernels. Contract: kernels/ops/sample.h; arithmetic: kernels/draw.h.
//
//   scan     one block for each piece of each row: bias, penalties, and the best of the piece by
//   the
//            scores of greedy choice or of the draw
//   choose   one block for each row: the best of all pieces
#include "kernels/cuda/launch.h"
#include "kernels/device/page_ids.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/draw.h"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kFullWarp = 0xFFFFFFFFU;
constexpr int kScanThreads = 512;
constexpr int kChooseThreads = 1024;
constexpr int kGroup = 4;  // ids that share one call of the random generator

struct Args {
  SampledRow* out;
  const float* logits;
  const SampleRow* rows;
  device::PagedIds history;
  const LogitBias* biases;
  SamplePart* parts;
  std::int64_t logits_stride;
  int vocab;
  int chunks;

  __device__ int ids_of(const SampleRow& row) const { return min(vocab, row.vocab_limit); }
};

struct Best {
  double score;
  int id;  // -1: none
};

__device__ Best better(const Best& a, const Best& b) {
  if (a.id < 0 || b.id < 0) return a.id < 0 ? b : a;
  if (a.score != b.score) return a.score > b.score ? a : b;
  return a.id < b.id ? a : b;
}

__device__ SamplePart joined(const SamplePart& a, const SamplePart& b) {
  const Best best = better({a.score, a.id}, {b.score, b.id});
  return {.score = best.score,
          .id = best.id,
          .highest = fmaxf(a.highest, b.highest),
          .lowest = fminf(a.lowest, b.lowest),
          .finite = min(a.finite, b.finite)};
}

__device__ SamplePart nothing() {
  return {.score = 0, .id = -1, .highest = -INFINITY, .lowest = INFINITY, .finite = 1};
}

__device__ SamplePart warp_joined(SamplePart part) {
  for (int offset = device::kWarpThreads / 2; offset > 0; offset /= 2) {
    SamplePart other;
    other.score = __shfl_xor_sync(kFullWarp, part.score, offset);
    other.id = __shfl_xor_sync(kFullWarp, part.id, offset);
    other.highest = __shfl_xor_sync(kFullWarp, part.highest, offset);
    other.lowest = __shfl_xor_sync(kFullWarp, part.lowest, offset);
    other.finite = __shfl_xor_sync(kFullWarp, part.finite, offset);
    part = joined(part, other);
  }
  return part;
}

// Of a block of whole warps; the result is in its first warp.
__device__ SamplePart block_joined(SamplePart part) {
  __shared__ SamplePart partial[32];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  part = warp_joined(part);
  if (lane == 0) partial[warp] = part;
  __syncthreads();  // the parts of all warps are there
  if (warp > 0) return part;
  return warp_joined(lane < static_cast<int>(blockDim.x) / device::kWarpThreads ? partial[lane]
                                                                                : nothing());
}

// Counts how often each id of the piece is among the last tokens that the penalties look at. Every
// piece reads all of them: nothing has to be cleared or shared between blocks.
__device__ void count_history(const Args& a, const SampleRow& row, int first,
                              std::uint32_t* times) {
  const int all = row.position + 1;
  const int seen = row.repeat_last_n < 0 ? all : min(all, row.repeat_last_n);
  for (int p = all - seen + static_cast<int>(threadIdx.x); p < all; p += kScanThreads) {
    const int at = *a.history.cell(row.sequence, p) - first;
    if (at >= 0 && at < kSampleChunk) atomicAdd(times + at, 1U);
  }
}

__global__ void __launch_bounds__(kScanThreads) scan_kernel(Args a) {
  __shared__ std::uint32_t times[kSampleChunk];
  __shared__ float biases[kSampleChunk];
  const SampleRow row = a.rows[blockIdx.y];
  const int thread = static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  const int end = min(first + kSampleChunk, a.ids_of(row));
  const bool penalized = draw::penalizes(row);
  const bool biased = row.bias_count > 0;
  if (penalized || biased) {
    for (int i = thread; i < kSampleChunk; i += kScanThreads) {
      times[i] = 0;
      biases[i] = 0;
    }
    __syncthreads();  // all are cleared
    if (penalized) count_history(a, row, first, times);
    for (int i = thread; i < row.bias_count; i += kScanThreads) {
      const LogitBias bias = a.biases[row.bias_first + i];
      const int at = bias.id - first;
      if (at >= 0 && at < kSampleChunk) biases[at] = bias.bias;
    }
    __syncthreads();  // counts and biases are complete
  }
  const float* logits = a.logits + static_cast<std::int64_t>(blockIdx.y) * a.logits_stride;
  const bool draws = draw::draws(row);
  const double per_temperature = draws ? draw::per_temperature(row) : 1.0;
  SamplePart part = nothing();
  for (int group = first + thread * kGroup; group < end; group += kScanThreads * kGroup) {
    const draw::Words words =
        draws ? draw::random_words(row.seed, row.position, group / kGroup) : draw::Words{};
#pragma unroll
    for (int i = 0; i < kGroup; ++i) {
      const int id = group + i;
      if (id >= end) break;
      const float raw = logits[id];
      const float logit = penalized || biased
                              ? draw::adjusted(row, raw, biases[id - first], times[id - first])
                              : draw::adjusted(row, raw, 0.0F, 0);
      const double score =
          draws ? draw::score(logit, per_temperature, words.word[i]) : static_cast<double>(logit);
      part = joined(part, {.score = score,
                           .id = id,
                           .highest = logit,
                           .lowest = logit == draw::never() ? INFINITY : logit,
                           .finite = draw::is_finite(raw) ? 1 : 0});
    }
  }
  part = block_joined(part);
  if (thread == 0) a.parts[blockIdx.y * a.chunks + blockIdx.x] = part;
}

__global__ void __launch_bounds__(kChooseThreads) choose_kernel(Args a) {
  const SampleRow row = a.rows[blockIdx.x];
  SamplePart part = nothing();
  for (int i = static_cast<int>(threadIdx.x); i < a.chunks; i += kChooseThreads) {
    part = joined(part, a.parts[blockIdx.x * a.chunks + i]);
  }
  part = block_joined(part);
  if (threadIdx.x != 0) return;
  SampledRow& out = a.out[blockIdx.x];
  out.id = part.id;
  out.finite = part.finite;
  out.logprob = 0;
  out.top_count = 0;
  if (row.next_cell >= 0) a.history.pages[row.next_cell] = part.id;
}

}  // namespace

cudaError_t launch_sample(const Sample& a, const SampleWorkspace& space, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(a.logits.size(0));
  if (rows == 0) return cudaSuccess;
  const auto chunks = static_cast<unsigned>(sample_chunks(a.logits.size(1)));
  const Args args{.out = a.out,
                  .logits = a.logits.as<float>(),
                  .rows = a.rows,
                  .history = {.pages = a.history.pages.as<std::int32_t>(),
                              .table = a.history.table.as<std::int32_t>(),
                              .table_stride = a.history.table.stride(0)},
                  .biases = a.biases,
                  .parts = space.parts,
                  .logits_stride = a.logits.stride(0),
                  .vocab = static_cast<int>(a.logits.size(1)),
                  .chunks = static_cast<int>(chunks)};
  scan_kernel<<<dim3(chunks, rows), kScanThreads, 0, stream>>>(args);
  choose_kernel<<<rows, kChooseThreads, 0, stream>>>(args);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
