// What the kernels of the sample operation share: arguments, the best of many ids, and how a row's
// logits are read. Arithmetic: kernels/draw.h.
#pragma once

#include "kernels/cuda/launch.h"
#include "kernels/device/page_ids.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/draw.h"

namespace glm::kernels::cuda::sampling {

constexpr unsigned kFullWarp = 0xFFFFFFFFU;
constexpr int kThreads = 512;  // of a block, in all kernels but the first
constexpr int kWarps = kThreads / device::kWarpThreads;

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
  int chunks;  // parts of each row: pieces of the scan, or blocks of head_choice.cu

  __device__ int ids_of(const SampleRow& row) const { return min(vocab, row.vocab_limit); }
  __device__ const float* raw(unsigned row) const { return logits + row * logits_stride; }
  __device__ float* adjusted(unsigned row) const {
    return space.adjusted + static_cast<std::int64_t>(row) * vocab;
  }
  __device__ SamplePart* parts(unsigned row) const {
    return space.parts + static_cast<std::int64_t>(row) * chunks;
  }
  __device__ SampleBest* drawn(unsigned row) const {
    return space.drawn + static_cast<std::int64_t>(row) * chunks;
  }
};

__device__ inline bool changes(const SampleRow& row) {
  return draw::penalizes(row) || row.bias_count > 0;
}
// Whether a row's ids have to be counted and weighed to find out which of them stay.
__device__ inline bool cuts(const SampleRow& row) {
  return draw::draws(row) && (row.top_k > 0 || row.top_p < 1.0F);
}

__device__ inline SampleBest better(const SampleBest& a, const SampleBest& b) {
  if (a.id < 0 || b.id < 0) return a.id < 0 ? b : a;
  if (a.score != b.score) return a.score > b.score ? a : b;
  return a.id < b.id ? a : b;
}

__device__ inline SamplePart nothing() {
  return {.best = {.score = 0, .id = -1},
          .highest = -INFINITY,
          .lowest = INFINITY,
          .raw_highest = -INFINITY,
          .finite = 1};
}

__device__ inline SamplePart joined(const SamplePart& a, const SamplePart& b) {
  return {.best = better(a.best, b.best),
          .highest = fmaxf(a.highest, b.highest),
          .lowest = fminf(a.lowest, b.lowest),
          .raw_highest = fmaxf(a.raw_highest, b.raw_highest),
          .finite = min(a.finite, b.finite)};
}

__device__ inline SampleBest from_lane(const SampleBest& best, int mask) {
  return {.score = __shfl_xor_sync(kFullWarp, best.score, mask),
          .id = __shfl_xor_sync(kFullWarp, best.id, mask)};
}
__device__ inline SamplePart from_lane(const SamplePart& part, int mask) {
  return {.best = from_lane(part.best, mask),
          .highest = __shfl_xor_sync(kFullWarp, part.highest, mask),
          .lowest = __shfl_xor_sync(kFullWarp, part.lowest, mask),
          .raw_highest = __shfl_xor_sync(kFullWarp, part.raw_highest, mask),
          .finite = __shfl_xor_sync(kFullWarp, part.finite, mask)};
}

// Of a block, the same in every thread. May be called repeatedly.
template <typename T, typename Join>
__device__ T block_joined(T value, const T& none, const Join& join) {
  __shared__ T partial[kWarps];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const auto over_lanes = [&](T mine) {
    for (int mask = device::kWarpThreads / 2; mask > 0; mask /= 2) {
      mine = join(mine, from_lane(mine, mask));
    }
    return mine;
  };
  value = over_lanes(value);
  __syncthreads();  // nobody still reads the parts of an earlier call
  if (lane == 0) partial[warp] = value;
  __syncthreads();  // the parts of all warps are there
  return over_lanes(lane < kWarps ? partial[lane] : none);
}
__device__ inline SamplePart block_joined(const SamplePart& part) {
  return block_joined(part, nothing(),
                      [](const SamplePart& a, const SamplePart& b) { return joined(a, b); });
}
__device__ inline SampleBest block_joined(const SampleBest& best) {
  return block_joined(best, SampleBest{.score = 0, .id = -1},
                      [](const SampleBest& a, const SampleBest& b) { return better(a, b); });
}

__device__ inline SamplePart whole_row(const Args& a, unsigned row) {
  SamplePart part = nothing();
  const SamplePart* parts = a.parts(row);
  for (int i = static_cast<int>(threadIdx.x); i < a.chunks; i += kThreads) {
    part = joined(part, parts[i]);
  }
  return block_joined(part);
}

// Logits of a row as they are weighed: adjusted ones, or raw ones where nothing changes them.
struct Source {
  const float* logits;
  int count;

  // Calls body(id, logit) for this thread's share of the ids first .. end - 1. Many loads are under
  // way at once.
  template <typename Body>
  __device__ void for_each(int first, int end, const Body& body) const {
    constexpr int kBatch = 8;
    end = min(end, count);
    for (int id = first + static_cast<int>(threadIdx.x); id < end; id += kBatch * kThreads) {
      float x[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        x[i] = id + i * kThreads < end ? logits[id + i * kThreads] : 0.0F;
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const float logit = draw::add(x[i], 0.0F);
        if (id + i * kThreads < end) {
          body(id + i * kThreads, isnan(logit) ? draw::never() : logit);
        }
      }
    }
  }
};

__device__ inline Source source_of(const Args& a, const SampleRow& row, unsigned index) {
  return {.logits = changes(row) ? a.adjusted(index) : a.raw(index), .count = a.ids_of(row)};
}

// The draw of one row.
struct Draw {
  const SampleRow& row;
  float highest;
  double per_temperature;

  __device__ Draw(const SampleRow& of, float top)
      : row(of), highest(top), per_temperature(draw::per_temperature(of)) {}

  __device__ float weight(float logit) const {
    return draw::weight(logit, highest, per_temperature);
  }
  __device__ bool likely(float logit) const {  // min_p lets it stay
    return !(row.min_p > 0) || logit == highest || weight(logit) >= row.min_p;
  }
  __device__ SampleBest score(float logit, int id) const {
    const draw::Words words = draw::random_words(row.seed, row.position, id / 4);
    return {.score = draw::score(logit, per_temperature, words.word[id % 4]), .id = id};
  }
};

Args args_of(const Sample& a, const SampleWorkspace& space);

cudaError_t launch_scan(const Args& a, cudaStream_t stream);
cudaError_t launch_bins(const Args& a, cudaStream_t stream);
cudaError_t launch_gather(const Args& a, cudaStream_t stream);
cudaError_t launch_choose(const Args& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda::sampling
