// The naive variants: one block per head of one token, keys one by one, softmax as it goes. They
// support every shape, and are what faster variants are compared with.
// Contracts: kernels/ops/mla_attention.h, kernels/ops/gqa_attention.h.
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/attention_variants.h"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / device::kWarpThreads;
constexpr int kTile = 64;  // positions between two looks at the softmax; divides a page

template <typename Source>
struct Args {
  Source source;
  device::AttentionHeads heads;
  int key_dim;
  int value_dim;
};

template <typename Source>
__global__ void __launch_bounds__(kThreads) attention_naive_kernel(Args<Source> a) {
  extern __shared__ float sums[];  // [value_dim] of exp2(score - highest) * value
  __shared__ float weights[kTile];
  const int token = static_cast<int>(blockIdx.x);
  const int head = static_cast<int>(blockIdx.y);
  const int kv_head = head / a.heads.group;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / device::kWarpThreads;
  const int lane = thread % device::kWarpThreads;
  const int sequence = a.source.sequence(token);
  const int visible = a.source.visible(token);
  const __nv_bfloat16* q = a.heads.query(token, head);

  for (int c = thread; c < a.value_dim; c += kThreads) sums[c] = 0;
  float highest = -INFINITY;
  float total = 0;  // the same in every thread
  for (int first = 0; first < visible; first += kTile) {
    const auto place = a.source.place(sequence, first);
    const int count = min(kTile, visible - first);
    __syncthreads();  // the weights of the tile before have been used
    for (int j = warp; j < count; j += kWarps) {
      float dot = 0;
      for (int c = lane; c < a.key_dim; c += device::kWarpThreads) {
        dot += device::load(q + c) * a.source.key_at(place, j, kv_head, c);
      }
      dot = device::warp_sum(dot);
      if (lane == 0) weights[j] = dot * a.heads.scale_log2;
    }
    __syncthreads();  // scores of the tile are complete
    float tile_highest = highest;
    for (int j = 0; j < count; ++j) tile_highest = fmaxf(tile_highest, weights[j]);
    const float shrink = exp2f(highest - tile_highest);  // 0 at first
    highest = tile_highest;
    total *= shrink;
    for (int j = 0; j < count; ++j) total += exp2f(weights[j] - highest);
    for (int c = thread; c < a.value_dim; c += kThreads) {
      float sum = sums[c] * shrink;
      for (int j = 0; j < count; ++j) {
        sum += exp2f(weights[j] - highest) * a.source.value_at(place, j, kv_head, c);
      }
      sums[c] = sum;  // columns belong to threads: no barrier
    }
  }
  __nv_bfloat16* out = a.heads.result(token, head);
  for (int c = thread; c < a.value_dim; c += kThreads) device::store(out + c, sums[c] / total);
}

template <typename Source>
cudaError_t launch(const Args<Source>& args, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(args.heads.tokens),
                  static_cast<unsigned>(args.heads.heads));
  attention_naive_kernel<Source>
      <<<grid, kThreads, static_cast<std::size_t>(args.value_dim) * sizeof(float), stream>>>(args);
  return cudaGetLastError();
}

template <typename Op, typename Source>
cudaError_t launch_op(const Op& a, const Source& source, std::int64_t kv_heads,
                      cudaStream_t stream) {
  return launch(Args<Source>{.source = source,
                             .heads = device_heads(a.out, a.q, kv_heads, a.scale),
                             .key_dim = static_cast<int>(a.q.size(2)),
                             .value_dim = static_cast<int>(a.out.size(2))},
                stream);
}

}  // namespace

cudaError_t mla_absorbed_naive(const MlaAbsorbed& a, const AttentionWorkspace& /*workspace*/,
                               cudaStream_t stream) {
  return a.rows.plain() ? launch_op(a, device_source(a), 1, stream)
                        : launch_op(a, device_latents(a), 1, stream);
}

cudaError_t mla_expanded_naive(const MlaExpanded& a, const AttentionWorkspace& /*workspace*/,
                               cudaStream_t stream) {
  return launch_op(a, device_source(a), a.q.size(1), stream);
}

cudaError_t gqa_attention_naive(const GqaAttention& a, const AttentionWorkspace& /*workspace*/,
                                cudaStream_t stream) {
  return launch_op(a, device_source(a), a.kv_heads, stream);
}

}  // namespace glm::kernels::cuda
