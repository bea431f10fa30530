// Absorbed latent attention on tensor cores, for few tokens (sm_90 and later): a block takes one
// token, up to 24 heads and a share of its pages, and reads every cached row once for all its
// heads, as key and as value (device/latent_products.cuh). Blocks of a cluster add up what they
// found (device/latent_sums.cuh). Contract: kernels/ops/mla_attention.h; 512 + 64 columns.
#include <algorithm>

#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/attention_combine.h"
#include "kernels/cuda/attention_variants.h"
#include "kernels/cuda/cluster_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/latent_sums.cuh"

namespace glm::kernels::cuda {
namespace {

namespace latent = device::latent;
using latent::kHeads;
using latent::kLatent;
using latent::kThreads;
using latent::kTile;
using latent::kWidth;

// Stages of the ring follow the exchange, behind a tile where there is one; results take their
// place.
constexpr int kRingAt = (sizeof(latent::Exchange) + 127) / 128 * 128;
constexpr int kResultBytes = kHeads * latent::kResultStride * sizeof(float);

// Of a block that reads so many tiles at most. With few, there is room for the blocks of a kernel
// that has not ended.
template <typename Ring>
constexpr int shared_bytes(std::int64_t tiles) {
  const auto stages = static_cast<int>(std::min<std::int64_t>(device::kRingStages, 2 * tiles));
  return kRingAt + std::max(Ring::kTileBytes + stages * Ring::kStageBytes, kResultBytes);
}
template <typename Ring>
constexpr int kSharedBytes = shared_bytes<Ring>(device::kRingStages);

template <typename Ring>
__global__ void __launch_bounds__(kThreads, 1)
    mla_cluster_kernel(typename Ring::Source source, device::AttentionHeads heads,
                       device::AttentionPartial partial) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) unsigned char memory[];
  auto& shared = *reinterpret_cast<latent::Exchange*>(memory);
  unsigned char* const decoded = memory + kRingAt;
  unsigned char* const stages = decoded + Ring::kTileBytes;
  unsigned char* const results = memory + kRingAt;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int own_head = thread / 16;  // whose softmax this thread keeps; the last have none
  const int first_head = static_cast<int>(blockIdx.y) * kHeads;
  const int token = static_cast<int>(blockIdx.z);

  // What the kernel in front does not write: positions, page table, rows before this step's. Tokens
  // of a sequence follow each other.
  const auto range = device::RingRange::of(source, token, static_cast<int>(blockIdx.x),
                                           static_cast<int>(gridDim.x));
  const bool alone = token == 0 || source.sequences[token - 1] != range.sequence;
  device::RingFiller<Ring> filler(device::shared_address(stages), source, range);
  filler.start_before(alone ? range.visible - 1 : 0, device::kRingStages);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const latent::QueryRows query_rows(heads, token, first_head);
  while (filler.started() < device::kRingStages) filler.start_next();
  query_rows.store(shared);
  __syncthreads();  // queries are there
  latent::Queries q;
  latent::load_queries(q, shared, warp / latent::kQuarters);

  latent::Softmax softmax;
  latent::Values values = {};
  for (int tile = 0; tile < range.count; ++tile) {
    if (tile == 0) {
      device::copy_async_wait<device::kRingStages - 2>();
    } else {
      device::copy_async_wait<device::kRingStages - 4>();
    }
    __syncthreads();  // the tile is here for all, and the one before it (or queries) has been used
    if (tile > 0) {
      filler.start_next();
      filler.start_next();
    }
    latent::Tile rows;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const unsigned char* stage =
          stages + device::RingFiller<Ring>::stage_of(tile * 2 + h) * Ring::kStageBytes;
      if constexpr (Ring::kDecodes) {
        unsigned char* to = decoded + h * device::kRingHalf * device::kRingPitch;
        Ring::decode(to, stage);
        stage = to;
      }
      rows.half[h] = device::shared_address(stage);
    }
    if constexpr (Ring::kDecodes) __syncthreads();  // the tile is complete
    latent::score(shared, rows, q, warp);
    __syncthreads();  // all quarters of the scores
    if (own_head < kHeads) {
      latent::weigh(shared, softmax, heads.scale_log2, range.rows(tile), own_head);
    }
    __syncthreads();  // weights
    latent::accumulate(values, shared, rows, warp);
  }
  device::copy_async_wait<0>();
  __syncthreads();  // all tiles have been read: results take their place
  const int blocks = device::cluster_size();
  latent::leave(shared, results, blocks == 1, softmax, values, warp);
  const latent::Target target = {.heads = heads,
                                 .partial = partial,
                                 .token = token,
                                 .split = static_cast<int>(blockIdx.x) / blocks,
                                 .first_head = first_head};
  if (blocks == 1) {
    __syncthreads();  // results
    latent::finish_alone(shared, results, target);
    return;
  }
  device::cluster_arrive();
  device::cluster_wait();  // results of all blocks
  latent::add_up(shared, results, target);
  device::cluster_arrive();
  device::cluster_wait();  // nobody reads this block's shared memory any more
#else
  __trap();  // built for another device
#endif
}

template <typename Ring>
cudaError_t allow(void (*kernel)(typename Ring::Source, device::AttentionHeads,
                                 device::AttentionPartial)) {
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes<Ring>);
  if (code != cudaSuccess) return code;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
}

template <typename Ring>
cudaError_t launch(const MlaAbsorbed& a, const typename Ring::Source& source,
                   const AttentionWorkspace& workspace, cudaStream_t stream) {
  const auto kernel = &mla_cluster_kernel<Ring>;
  if (const cudaError_t code = allow<Ring>(kernel); code != cudaSuccess) return code;
  const device::AttentionHeads heads = device_heads(a.out, a.q, 1, a.scale);
  const std::int64_t blocks = (heads.heads + kHeads - 1) / kHeads;
  const ClusterPlan plan = choose_clusters({.units = heads.tokens * blocks,
                                            .tiles = (a.tokens.positions_max + kTile - 1) / kTile,
                                            .splits_max = splits_max(workspace, heads, kLatent)},
                                           workspace);
  const device::AttentionPartial partial =
      attention_partial(workspace, heads, plan.clusters, kLatent);
  const cudaError_t code = launch_early(
      {.grid = dim3(static_cast<unsigned>(plan.size * plan.clusters), static_cast<unsigned>(blocks),
                    static_cast<unsigned>(heads.tokens)),
       .threads = kThreads,
       .shared_bytes = static_cast<std::size_t>(shared_bytes<Ring>(plan.tiles)),
       .cluster = static_cast<unsigned>(plan.size)},
      kernel, stream, source, heads, partial);
  if (code != cudaSuccess || plan.clusters == 1) return code;
  return launch_attention_combine(partial, heads, stream);
}

}  // namespace

cudaError_t count_latent_clusters(AttentionWorkspace& workspace) {
  workspace.latent_clusters = {};
  if (workspace.compute_major < 9 || workspace.shared_bytes_max < kSharedBytes<device::PlainRing> ||
      workspace.shared_bytes_max < kSharedBytes<device::Fp8Ring>) {
    return cudaSuccess;
  }
  const auto kernel = &mla_cluster_kernel<device::PlainRing>;
  if (const cudaError_t code = allow<device::PlainRing>(kernel); code != cudaSuccess) return code;
  for (const unsigned size : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 16U}) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {size, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = size;
    config.blockDim = kThreads;
    config.dynamicSmemBytes = kSharedBytes<device::PlainRing>;
    config.attrs = &attribute;
    config.numAttrs = 1;
    // Devices without clusters of this size say so by an error.
    if (cudaOccupancyMaxActiveClusters(&workspace.latent_clusters[size], kernel, &config) !=
        cudaSuccess) {
      workspace.latent_clusters[size] = 0;
      (void)cudaGetLastError();
    }
  }
  return cudaSuccess;
}

bool mla_absorbed_cluster_decode_supports(const MlaAbsorbed& a,
                                          const AttentionWorkspace& workspace) {
  constexpr std::int64_t kGridMax = 65535;
  const std::int64_t bytes =
      a.rows.plain() ? kSharedBytes<device::PlainRing> : kSharedBytes<device::Fp8Ring>;
  return workspace.latent_clusters[1] > 0 && workspace.shared_bytes_max >= bytes &&
         a.q.dtype == Dtype::bf16 && a.q.size(2) == kWidth && a.out.size(2) == kLatent &&
         a.q.size(0) <= kGridMax && vector_rows(a.q) && vector_rows(a.out) &&
         vector_rows(a.rows.pages);
}

cudaError_t mla_absorbed_cluster_decode(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                        cudaStream_t stream) {
  return a.rows.plain() ? launch<device::PlainRing>(a, device_source(a), workspace, stream)
                        : launch<device::Fp8Ring>(a, device_latents(a), workspace, stream);
}

}  // namespace glm::kernels::cuda
