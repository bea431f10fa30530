// The second kernel of sample, for rows with top_k or top_p: counts and masses of their keys in
// bins, all pieces of a row at once. Sums are whole numbers: their order does not matter.
#include "kernels/cuda/sample_row.cuh"

namespace glm::kernels::cuda::sampling {
namespace {

constexpr int kThreads = 512;

__global__ void __launch_bounds__(kThreads) bins_kernel(Args a) {
  __shared__ SampleBins local;
  const unsigned index = blockIdx.y;
  const SampleRow row = a.rows[index];
  if (!cuts(row)) return;
  const SamplePart all = whole_row(a, index);
  if (!draw::is_finite(all.highest)) return;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kSampleBins; i += kThreads) {
    local.masses[i] = 0;
    local.counts[i] = 0;
  }
  __syncthreads();  // all are cleared
  const Source source = source_of(a, row, index);
  const Range range = range_of(all.lowest, all.highest);
  const double per_temperature = draw::per_temperature(row);
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  const int end = min(first + kSampleChunk, source.count);
  source.for_each(first + thread, end, kThreads, [&](int id, float logit) {
    const std::uint64_t key = draw::key_of(logit, id);
    if (!range.holds(key)) return;  // -infinity
    const int bin = range.bin(key);
    atomicAdd(local.counts + bin, 1U);
    if (row.top_p < 1.0F) {
      const std::uint64_t mass = draw::mass(draw::weight(logit, all.highest, per_temperature));
      if (mass > 0) atomicAdd(local.masses + bin, static_cast<unsigned long long>(mass));
    }
  });
  __syncthreads();  // the piece is complete
  SampleBins& bins = a.space.bins[index];
  for (int i = thread; i < kSampleBins; i += kThreads) {
    if (local.counts[i] > 0) atomicAdd(bins.counts + i, local.counts[i]);
    if (local.masses[i] > 0) atomicAdd(bins.masses + i, local.masses[i]);
  }
}

}  // namespace

cudaError_t launch_bins(const Args& a, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(a.chunks), static_cast<unsigned>(a.row_count));
  bins_kernel<<<grid, kThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda::sampling
