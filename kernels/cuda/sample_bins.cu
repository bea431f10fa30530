// For rows with top_k or top_p: counts and masses of a row's logits in bins, all its pieces at
// once. Sums are whole numbers: their order does not matter.
#include "kernels/cuda/sample_sums.cuh"

namespace glm::kernels::cuda::sampling {
namespace {

__global__ void __launch_bounds__(kThreads) bins_kernel(Args a) {
  __shared__ SampleBins local;
  const unsigned index = blockIdx.y;
  const SampleRow row = a.rows[index];
  if (!cuts(row)) return;
  const SamplePart all = whole_row(a, index);
  if (!draw::is_finite(all.highest)) return;
  clear_bins(local);
  __syncthreads();  // all are cleared
  const Scale scale(all);
  const Draw draw(row, all.highest);
  const int first = static_cast<int>(blockIdx.x) * kSampleChunk;
  source_of(a, row, index).for_each(first, first + kSampleChunk, [&](int /*id*/, float logit) {
    if (logit == draw::never()) return;
    add_to(local, scale.bin(logit), row.top_p < 1.0F ? draw::mass(draw.weight(logit)) : 0);
  });
  __syncthreads();  // the piece is complete
  SampleBins& bins = a.space.bins[index];
  for (int i = static_cast<int>(threadIdx.x); i < kSampleBins; i += kThreads) {
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
