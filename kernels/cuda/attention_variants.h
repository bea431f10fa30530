// The variants behind attention.h: what each supports, and how it is launched.
#pragma once

#include "kernels/cuda/attention.h"

namespace glm::kernels::cuda {

// Fills in latent_clusters.
cudaError_t count_latent_clusters(AttentionWorkspace& workspace);
bool mla_absorbed_cluster_decode_supports(const MlaAbsorbed& a,
                                          const AttentionWorkspace& workspace);
cudaError_t mla_absorbed_cluster_decode(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                        cudaStream_t stream);
bool mla_absorbed_groups_decode_supports(const MlaAbsorbed& a, const AttentionWorkspace& workspace);
cudaError_t mla_absorbed_groups_decode(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                       cudaStream_t stream);
bool mla_absorbed_mma_decode_supports(const MlaAbsorbed& a, const AttentionWorkspace& workspace);
cudaError_t mla_absorbed_mma_decode(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                    cudaStream_t stream);
cudaError_t mla_absorbed_naive(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                               cudaStream_t stream);

bool mla_expanded_wgmma_prefill_supports(const MlaExpanded& a, const AttentionWorkspace& workspace);
cudaError_t mla_expanded_wgmma_prefill(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                       cudaStream_t stream);
bool mla_expanded_mma_prefill_supports(const MlaExpanded& a, const AttentionWorkspace& workspace);
cudaError_t mla_expanded_mma_prefill(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                     cudaStream_t stream);
cudaError_t mla_expanded_naive(const MlaExpanded& a, const AttentionWorkspace& workspace,
                               cudaStream_t stream);

bool gqa_attention_wgmma_prefill_supports(const GqaAttention& a,
                                          const AttentionWorkspace& workspace);
cudaError_t gqa_attention_wgmma_prefill(const GqaAttention& a, const AttentionWorkspace& workspace,
                                        cudaStream_t stream);
bool gqa_attention_mma_prefill_supports(const GqaAttention& a, const AttentionWorkspace& workspace);
cudaError_t gqa_attention_mma_prefill(const GqaAttention& a, const AttentionWorkspace& workspace,
                                      cudaStream_t stream);
bool gqa_attention_mma_decode_supports(const GqaAttention& a, const AttentionWorkspace& workspace);
cudaError_t gqa_attention_mma_decode(const GqaAttention& a, const AttentionWorkspace& workspace,
                                     cudaStream_t stream);
cudaError_t gqa_attention_naive(const GqaAttention& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream);

}  // namespace glm::kernels::cuda
