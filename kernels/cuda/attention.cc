// The tables of variants, best first.
#include "kernels/cuda/attention.h"

#include <span>

#include "kernels/cuda/attention_variants.h"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

template <typename Op>
struct Variant {
  std::string_view name;
  bool (*supports)(const Op&, const AttentionWorkspace&);
  bool (*preferred)(const Op&);  // where it is faster than the rows after it
  cudaError_t (*launch)(const Op&, const AttentionWorkspace&, cudaStream_t);
};

template <typename Op>
bool every(const Op& /*a*/, const AttentionWorkspace& /*workspace*/) {
  return true;
}
template <typename Op>
bool always(const Op& /*a*/) {
  return true;
}

// A tile of the prefill variant serves tokens of one sequence together, and those of different ones
// after each other; and its blocks do not share positions, so few tokens leave the device idle
// (H100, 96 heads at 1024 positions: four tokens take 44 us, four sequences in the decode variant
// 21). The host knows only averages: callers keep single tokens apart from stretches.
bool many_tokens_a_sequence(const GqaAttention& a) {
  constexpr std::int64_t kTokens = 32;
  const std::int64_t sequences = a.tokens.sequences > 0 ? a.tokens.sequences : a.rows.table.size(0);
  return a.q.size(0) >= kTokens * sequences;
}

// Of fewer tokens long contexts want more blocks than a cluster has.
bool tens_of_tokens(const MlaAbsorbed& a) {
  constexpr std::int64_t kTokensMoreThan = 8;
  return a.q.size(0) > kTokensMoreThan;
}

constexpr Variant<MlaAbsorbed> kMlaAbsorbed[] = {
    {"groups_decode", &mla_absorbed_groups_decode_supports, &tens_of_tokens,
     &mla_absorbed_groups_decode},
    {"cluster_decode", &mla_absorbed_cluster_decode_supports, &always<MlaAbsorbed>,
     &mla_absorbed_cluster_decode},
    {"mma_decode", &mla_absorbed_mma_decode_supports, &always<MlaAbsorbed>,
     &mla_absorbed_mma_decode},
    {"naive", &every<MlaAbsorbed>, &always<MlaAbsorbed>, &mla_absorbed_naive},
};

constexpr Variant<MlaExpanded> kMlaExpanded[] = {
    {"wgmma_prefill", &mla_expanded_wgmma_prefill_supports, &always<MlaExpanded>,
     &mla_expanded_wgmma_prefill},
    {"mma_prefill", &mla_expanded_mma_prefill_supports, &always<MlaExpanded>,
     &mla_expanded_mma_prefill},
    {"naive", &every<MlaExpanded>, &always<MlaExpanded>, &mla_expanded_naive},
};

constexpr Variant<GqaAttention> kGqaAttention[] = {
    {"wgmma_prefill", &gqa_attention_wgmma_prefill_supports, &many_tokens_a_sequence,
     &gqa_attention_wgmma_prefill},
    {"mma_prefill", &gqa_attention_mma_prefill_supports, &many_tokens_a_sequence,
     &gqa_attention_mma_prefill},
    {"mma_decode", &gqa_attention_mma_decode_supports, &always<GqaAttention>,
     &gqa_attention_mma_decode},
    {"naive", &every<GqaAttention>, &always<GqaAttention>, &gqa_attention_naive},
};

template <typename Op>
cudaError_t launch(std::span<const Variant<Op>> variants, const Op& a,
                   const AttentionWorkspace& workspace, std::string_view forced,
                   cudaStream_t stream) {
  if (a.out.size(0) == 0 || a.out.size(1) == 0 || a.out.size(2) == 0) return cudaSuccess;
  for (const Variant<Op>& variant : variants) {
    const bool wanted = forced.empty() ? variant.preferred(a) : variant.name == forced;
    if (wanted && variant.supports(a, workspace)) return variant.launch(a, workspace, stream);
  }
  return cudaErrorNotSupported;
}

}  // namespace

cudaError_t describe_device(int device_index, AttentionWorkspace& workspace) {
  const auto read = [&](cudaDeviceAttr which, auto& to) {
    int value = 0;
    const cudaError_t code = cudaDeviceGetAttribute(&value, which, device_index);
    to = value;
    return code;
  };
  cudaError_t code = read(cudaDevAttrMultiProcessorCount, workspace.multiprocessors);
  if (code != cudaSuccess) return code;
  code = read(cudaDevAttrComputeCapabilityMajor, workspace.compute_major);
  if (code != cudaSuccess) return code;
  code = read(cudaDevAttrMaxSharedMemoryPerBlockOptin, workspace.shared_bytes_max);
  if (code != cudaSuccess) return code;
#if defined(GLM_HAVE_SM90A)
  workspace.encode_tensor_map = reinterpret_cast<void*>(find_encode_tensor_map());
#endif
  return count_latent_clusters(workspace);
}

cudaError_t launch_mla_absorbed(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream, std::string_view variant) {
  return launch<MlaAbsorbed>(kMlaAbsorbed, a, workspace, variant, stream);
}

cudaError_t launch_mla_expanded(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream, std::string_view variant) {
  return launch<MlaExpanded>(kMlaExpanded, a, workspace, variant, stream);
}

cudaError_t launch_gqa_attention(const GqaAttention& a, const AttentionWorkspace& workspace,
                                 cudaStream_t stream, std::string_view variant) {
  return launch<GqaAttention>(kGqaAttention, a, workspace, variant, stream);
}

}  // namespace glm::kernels::cuda
