// For rows with filters: draws among the ids that surely stay, and lists the keys of those among
// which the line will be drawn, all pieces of a row at once.
#include "kernels/cuda/sample_sums.cuh"

namespace glm::kernels::cuda::sampling {
namespace {

// Bins up to `first` surely stay, those behind `last` surely go.
struct OpenBins {
  int first;
  int last;
};

// Where top_k cuts a bin, top_p's share is of a mass that is not known yet, only between which two.
// All from the bin where the lesser share is reached to the one top_k cuts stays open.
__device__ OpenBins open_bins(const SampleRow& row, const ScannedBins& bins, Sums& above) {
  const Sums all = bins.all();
  const auto top_k = static_cast<std::uint64_t>(max(row.top_k, 0));
  std::uint64_t least = all.mass;
  int last = kSampleBins;
  if (top_k > 0 && top_k < all.count) {
    const FoundBin found = bins.find(Measure::count, top_k);
    least = found.above.mass;
    last = found.number;
    above = found.above;
    if (!(row.top_p < 1.0F)) return {.first = last, .last = last};
  }
  if (!(row.top_p < 1.0F)) {  // everything stays
    above = all;
    return {.first = kSampleBins, .last = kSampleBins};
  }
  const FoundBin found = bins.find(Measure::mass, draw::mass_wanted(row.top_p, least));
  if (found.number < last) above = found.above;
  return {.first = min(found.number, last), .last = last == kSampleBins ? found.number : last};
}

__global__ void __launch_bounds__(kThreads) gather_kernel(Args a) {
  __shared__ SumsShared shared;
  const unsigned index = blockIdx.y;
  const SampleRow row = a.rows[index];
  if (!draw::filters(row)) return;
  const SamplePart all = whole_row(a, index);
  if (!draw::is_finite(all.highest)) return;
  SampleList& list = a.space.lists[index];
  OpenBins open{.first = kSampleBins, .last = kSampleBins};
  if (cuts(row)) {
    const ScannedBins bins(a.space.bins[index], {}, shared);
    Sums above = {};
    open = open_bins(row, bins, above);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
      list.above_count = above.count;
      list.above_mass = above.mass;
      list.all_mass = bins.all().mass;
    }
  }
  const Scale scale(all);
  const Draw draw(row, all.highest);
  SampleBest best{.score = 0, .id = -1};
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  source_of(a, row, index).for_each(first, first + kSampleChunk, [&](int id, float logit) {
    const int bin = logit == draw::never() ? kSampleBins : scale.bin(logit);
    if (bin < open.first) {
      if (draw.likely(logit)) best = better(best, draw.score(logit, id));
    } else if (bin <= open.last && bin < kSampleBins) {
      const std::uint32_t place = atomicAdd(&list.count, 1U);
      if (place < kSampleListMax) list.keys[place] = draw::key_of(logit, id);
    }
  });
  best = block_joined(best);
  if (threadIdx.x == 0) a.drawn(index)[blockIdx.x] = best;
}

}  // namespace

cudaError_t launch_gather(const Args& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.chunks), static_cast<unsigned>(a.row_count));
  gather_kernel<<<grid, kThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda::sampling
