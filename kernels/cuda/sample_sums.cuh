// Bins of a row's keys, and where sums over them from above reach what is wanted.
#pragma once

#include "kernels/cuda/sample_row.cuh"

namespace glm::kernels::cuda::sampling {

struct Sums {
  std::uint64_t count;
  std::uint64_t mass;
};
__device__ inline Sums operator+(const Sums& a, const Sums& b) {
  return {.count = a.count + b.count, .mass = a.mass + b.mass};
}

enum class Measure { count, mass };
__device__ inline std::uint64_t measured(const Sums& sums, Measure by) {
  return by == Measure::count ? sums.count : sums.mass;
}

// A bin, what lies above it, and what in it.
struct FoundBin {
  int number;
  Sums above;
  Sums inside;
};

// Memory of a block for what follows.
struct SumsShared {
  Sums warp_sums[kWarps];
  FoundBin found;
};

__device__ inline Sums warp_scan(Sums sums) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  for (int offset = 1; offset < device::kWarpThreads; offset *= 2) {
    const Sums other = {.count = __shfl_up_sync(kFullWarp, sums.count, offset),
                        .mass = __shfl_up_sync(kFullWarp, sums.mass, offset)};
    if (lane >= offset) sums = sums + other;
  }
  return sums;
}

// Sums of the threads up to and with this one; `all` are those of the block.
__device__ inline Sums block_scan(Sums sums, SumsShared& shared, Sums& all) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  sums = warp_scan(sums);
  __syncthreads();  // nobody still reads the sums of an earlier call
  if (lane == device::kWarpThreads - 1) shared.warp_sums[warp] = sums;
  __syncthreads();  // the sums of all warps are there
  const Sums scanned = warp_scan(lane < kWarps ? shared.warp_sums[lane] : Sums{});
  const auto of_warp = [&](int number) {
    return Sums{.count = __shfl_sync(kFullWarp, scanned.count, number),
                .mass = __shfl_sync(kFullWarp, scanned.mass, number)};
  };
  all = of_warp(kWarps - 1);
  const Sums earlier = of_warp(max(warp - 1, 0));
  return warp > 0 ? sums + earlier : sums;
}

// Bins as a block sees them, each thread some that lie together, with the sums above them.
class ScannedBins {
 public:
  __device__ ScannedBins(const SampleBins& bins, Sums above, SumsShared& shared) : shared_(shared) {
    const int first = static_cast<int>(threadIdx.x) * kOfThread;
    Sums sums = {};
    for (int i = 0; i < kOfThread; ++i) {
      own_[i] = {.count = bins.counts[first + i], .mass = bins.masses[first + i]};
      sums = sums + own_[i];
    }
    const Sums scanned = block_scan(sums, shared, all_);
    before_ = {.count = above.count + scanned.count - sums.count,
               .mass = above.mass + scanned.mass - sums.mass};
  }

  __device__ Sums all() const { return all_; }  // without what is above

  // The bin in which sums from above reach `wanted`, which is more than what is above and at most
  // what all come to.
  __device__ FoundBin find(Measure by, std::uint64_t wanted) const {
    Sums before = before_;
    __syncthreads();  // nobody still reads what was found before
    for (int i = 0; i < kOfThread; ++i) {
      const Sums behind = before + own_[i];
      if (measured(before, by) < wanted && measured(behind, by) >= wanted) {
        shared_.found = {.number = static_cast<int>(threadIdx.x) * kOfThread + i,
                         .above = before,
                         .inside = own_[i]};
      }
      before = behind;
    }
    __syncthreads();  // the bin is known to all
    return shared_.found;
  }

 private:
  static constexpr int kOfThread = kSampleBins / kThreads;
  SumsShared& shared_;
  Sums own_[kOfThread];
  Sums before_;
  Sums all_;
};

__device__ inline void clear_bins(SampleBins& bins) {
  for (int i = static_cast<int>(threadIdx.x); i < kSampleBins; i += kThreads) {
    bins.counts[i] = 0;
    bins.masses[i] = 0;
  }
}

__device__ inline void add_to(SampleBins& bins, int bin, std::uint64_t mass) {
  atomicAdd(bins.counts + bin, 1U);
  if (mass > 0) atomicAdd(bins.masses + bin, static_cast<unsigned long long>(mass));
}

// Bins of equal width over the logits of a row, the last one open to what lies far below. Which
// logits share a bin decides about speed only.
struct Scale {
  float highest;
  float bins_of_one;

  __device__ Scale(const SamplePart& row) : highest(row.highest) {
    constexpr float kWidest = 64;
    bins_of_one = static_cast<float>(kSampleBins - 1) / fminf(row.highest - row.lowest, kWidest);
  }
  __device__ int bin(float logit) const {
    const float at = __fmul_rn(__fadd_rn(highest, -logit), bins_of_one);
    return at < static_cast<float>(kSampleBins - 1) ? static_cast<int>(at)
                                                    : (highest > logit ? kSampleBins - 1 : 0);
  }
};

}  // namespace glm::kernels::cuda::sampling
