// What the kernels of the sample operation share: its arguments, the best of many ids, and the
// range of a row's keys. Arithmetic: kernels/draw.h.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/device/page_ids.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/draw.h"

namespace glm::kernels::cuda::sampling {

constexpr unsigned kFullWarp = 0xFFFFFFFFU;

struct Args {
  SampledRow* out;
  const float* logits;
  const SampleRow* rows;
  device::PagedIds history;
  const LogitBias* biases;
  SampleWorkspace space;
  std::int64_t logits_stride;
  int row_count;
  int vocab;
  int chunks;

  __device__ int ids_of(const SampleRow& row) const { return min(vocab, row.vocab_limit); }
  __device__ const float* raw(unsigned row) const { return logits + row * logits_stride; }
  __device__ float* adjusted(unsigned row) const {
    return space.adjusted + static_cast<std::int64_t>(row) * vocab;
  }
  __device__ SamplePart* parts(unsigned row) const {
    return space.parts + static_cast<std::int64_t>(row) * chunks;
  }
};

__device__ inline bool changes(const SampleRow& row) {
  return draw::penalizes(row) || row.bias_count > 0;
}
// Whether a row's ids have to be counted and weighed to find out which of them stay.
__device__ inline bool cuts(const SampleRow& row) {
  return draw::draws(row) && (row.top_k > 0 || row.top_p < 1.0F);
}

struct Best {
  double score;
  int id;  // -1: none
};

__device__ inline Best better(const Best& a, const Best& b) {
  if (a.id < 0 || b.id < 0) return a.id < 0 ? b : a;
  if (a.score != b.score) return a.score > b.score ? a : b;
  return a.id < b.id ? a : b;
}

__device__ inline SamplePart nothing() {
  return {.score = 0,
          .id = -1,
          .highest = -INFINITY,
          .lowest = INFINITY,
          .raw_highest = -INFINITY,
          .finite = 1};
}

__device__ inline SamplePart joined(const SamplePart& a, const SamplePart& b) {
  const Best best = better({a.score, a.id}, {b.score, b.id});
  return {.score = best.score,
          .id = best.id,
          .highest = fmaxf(a.highest, b.highest),
          .lowest = fminf(a.lowest, b.lowest),
          .raw_highest = fmaxf(a.raw_highest, b.raw_highest),
          .finite = min(a.finite, b.finite)};
}

__device__ inline SamplePart warp_joined(SamplePart part) {
  for (int offset = device::kWarpThreads / 2; offset > 0; offset /= 2) {
    SamplePart other;
    other.score = __shfl_xor_sync(kFullWarp, part.score, offset);
    other.id = __shfl_xor_sync(kFullWarp, part.id, offset);
    other.highest = __shfl_xor_sync(kFullWarp, part.highest, offset);
    other.lowest = __shfl_xor_sync(kFullWarp, part.lowest, offset);
    other.raw_highest = __shfl_xor_sync(kFullWarp, part.raw_highest, offset);
    other.finite = __shfl_xor_sync(kFullWarp, part.finite, offset);
    part = joined(part, other);
  }
  return part;
}

// Of a block of whole warps, the same in every thread. May be called repeatedly.
__device__ inline SamplePart block_joined(SamplePart part) {
  __shared__ SamplePart partial[32];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int warps = static_cast<int>(blockDim.x) / device::kWarpThreads;
  part = warp_joined(part);
  __syncthreads();  // nobody still reads the parts of an earlier call
  if (lane == 0) partial[warp] = part;
  __syncthreads();  // the parts of all warps are there
  return warp_joined(lane < warps ? partial[lane] : nothing());
}

__device__ inline SamplePart whole_row(const Args& a, unsigned row) {
  SamplePart part = nothing();
  const SamplePart* parts = a.parts(row);
  for (int i = static_cast<int>(threadIdx.x); i < a.chunks; i += static_cast<int>(blockDim.x)) {
    part = joined(part, parts[i]);
  }
  return block_joined(part);
}

// A range of keys (draw::key_of), cut into bins of 2^shift of them, the largest keys first.
struct Range {
  std::uint64_t low;
  std::uint64_t high;

  __device__ bool holds(std::uint64_t key) const { return key >= low && key <= high; }
  __device__ int shift() const {
    const int bits = 64 - __clzll(static_cast<long long>(high - low));
    return max(0, bits - 11);  // kSampleBins is 2^11
  }
  __device__ int bin(std::uint64_t key) const { return static_cast<int>((high - key) >> shift()); }
  __device__ Range part(int number) const {
    const std::uint64_t first = high - (static_cast<std::uint64_t>(number) << shift());
    const std::uint64_t width = 1ULL << shift();
    return {.low = first - low >= width ? first - width + 1 : low, .high = first};
  }
};
static_assert(kSampleBins == 1 << 11);

// All keys of logits between these two.
__device__ inline Range range_of(float lowest, float highest) {
  constexpr std::int32_t kLastId = 0xFFFFFF;
  return {.low = draw::key_of(lowest, kLastId), .high = draw::key_of(highest, 0)};
}

// Logits of a row as they are weighed: adjusted ones, or raw ones where nothing changes them.
struct Source {
  const float* logits;
  int count;

  // Calls body(id, logit) for the ids from `first` on, `threads` apart, below `end`. Many are on
  // their way at once.
  template <typename Body>
  __device__ void for_each(int first, int end, int threads, const Body& body) const {
    constexpr int kBatch = 8;
    for (; first < end; first += kBatch * threads) {
      float x[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int id = first + i * threads;
        x[i] = id < end ? logits[id] : 0.0F;
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int id = first + i * threads;
        const float logit = draw::add(x[i], 0.0F);
        if (id < end) body(id, isnan(logit) ? draw::never() : logit);
      }
    }
  }
};

__device__ inline Source source_of(const Args& a, const SampleRow& row, unsigned index) {
  return {.logits = changes(row) ? a.adjusted(index) : a.raw(index), .count = a.ids_of(row)};
}

cudaError_t launch_scan(const Args& a, cudaStream_t stream);
cudaError_t launch_bins(const Args& a, cudaStream_t stream);
cudaError_t launch_choose(const Args& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda::sampling
