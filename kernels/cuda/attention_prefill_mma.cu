// The prefill variants: launches of device/attention_prefill.cuh.
// Contracts: kernels/ops/mla_attention.h (expanded; heads of 256 columns),
// kernels/ops/gqa_attention.h (heads of 128 columns).
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/attention_variants.h"
#include "kernels/device/attention_prefill.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kExpandedDim = 256;
constexpr int kGroupedDim = 128;

// The shape of a block's work: rows of a warp are read against each key once, longer tiles meet
// fewer barriers; what is left of a multiprocessor's registers decides.
struct Wide {  // fits 99 KB; two blocks may share a multiprocessor
  static constexpr int kWarps = 4;
  static constexpr int kParts = 2;
  static constexpr int kTile = 32;  // 64 gains 1 % on long prompts and loses 18 % on late chunks
};
struct Large {
  static constexpr int kWarps = 8;
  static constexpr int kParts = 1;
  static constexpr int kTile = 64;
};
struct Small {  // fits 99 KB
  static constexpr int kWarps = 4;
  static constexpr int kParts = 1;
  static constexpr int kTile = 32;
};

template <int kDim, typename Shape>
constexpr std::int64_t shared_bytes() {
  return sizeof(
      device::PrefillShared<kDim, kDim, Shape::kWarps * Shape::kParts * 16, Shape::kTile>);
}

template <int kDim, typename Shape, typename Source>
cudaError_t launch(const Source& source, const device::AttentionHeads& heads, cudaStream_t stream) {
  const auto kernel = &device::attention_prefill_kernel<Source, kDim, kDim, Shape::kWarps,
                                                        Shape::kParts, Shape::kTile>;
  constexpr int kBytes = shared_bytes<kDim, Shape>();
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (code != cudaSuccess) return code;
  constexpr std::int64_t kRows = Shape::kWarps * Shape::kParts * 16;
  const std::int64_t rows = static_cast<std::int64_t>(heads.tokens) * heads.group;
  const dim3 grid(static_cast<unsigned>((rows + kRows - 1) / kRows),
                  static_cast<unsigned>(heads.heads / heads.group));
  kernel<<<grid, Shape::kWarps * 32, kBytes, stream>>>(source, heads);
  return cudaGetLastError();
}

}  // namespace

bool mla_expanded_mma_prefill_supports(const MlaExpanded& a, const AttentionWorkspace& workspace) {
  return workspace.compute_major >= 8 &&
         workspace.shared_bytes_max >= shared_bytes<kExpandedDim, Small>() &&
         a.q.dtype == Dtype::bf16 && a.q.size(2) == kExpandedDim && a.k.size(2) % 8 == 0 &&
         a.out.size(2) == kExpandedDim && vector_rows(a.q) && vector_rows(a.k) &&
         vector_rows(a.k_rope) && vector_rows(a.v) && vector_rows(a.out);
}

cudaError_t mla_expanded_mma_prefill(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                     cudaStream_t stream) {
  const device::AttentionHeads heads = device_heads(a.out, a.q, a.q.size(1), a.scale);
  const bool large = workspace.shared_bytes_max >= shared_bytes<kExpandedDim, Large>();
  return large ? launch<kExpandedDim, Large>(device_source(a), heads, stream)
               : launch<kExpandedDim, Small>(device_source(a), heads, stream);
}

bool gqa_attention_mma_prefill_supports(const GqaAttention& a,
                                        const AttentionWorkspace& workspace) {
  return workspace.compute_major >= 8 &&
         workspace.shared_bytes_max >= shared_bytes<kGroupedDim, Wide>() &&
         a.q.dtype == Dtype::bf16 && a.q.size(2) == kGroupedDim && a.out.size(2) == kGroupedDim &&
         vector_rows(a.q) && vector_rows(a.out) && vector_rows(a.rows.pages);
}

cudaError_t gqa_attention_mma_prefill(const GqaAttention& a,
                                      const AttentionWorkspace& /*workspace*/,
                                      cudaStream_t stream) {
  return launch<kGroupedDim, Wide>(device_source(a), device_heads(a.out, a.q, a.kv_heads, a.scale),
                                   stream);
}

}  // namespace glm::kernels::cuda
