// Host entries of everything that touches cached rows: writing and gathering them, rotating what
// goes into them, and attention over them. bf16 throughout (rope also f32). Arguments have been
// checked and lie in device memory; what is returned is the error of the launch.
//
// Safe inside graph capture: grids depend on shapes and positions_max alone; positions, sequences
// and page tables are read on the device. Nothing is allocated.
//
// Each attention is a table of variants, best first; the last row, "naive", supports every shape. A
// name forces a variant: cudaErrorNotSupported if there is none of that name or it does not support
// the arguments.
//
// A token's result does not depend on the other tokens, bit for bit, as long as the variant and the
// splits (choose_splits of attention_splits.h, choose_clusters of cluster_plan.h, blocks_of_token
// of mla_absorbed_groups.cu: shapes and positions_max) stay the same. Naive and prefill variants do
// not split.
//
// Kernels may start early (early_launch.h). Before they wait for the kernel in front they read
// positions, sequences and page tables, and rows of positions before the first token of a sequence
// in this call: none of these may be written by that kernel, or by the one in front of it.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "kernels/ops/gqa_attention.h"
#include "kernels/ops/mla_attention.h"
#include "kernels/ops/paged_rows.h"
#include "kernels/ops/rope.h"

namespace glm::kernels::cuda {

// What attention needs of the device, and its memory for partial results. One launch at a time may
// use it: launches of one stream do.
struct AttentionWorkspace {
  float* partial = nullptr;  // attention_workspace_bytes(multiprocessors), 16-byte aligned
  void* meeting = nullptr;   // of mla_decode_batch.h; null where that is not used
  int multiprocessors = 0;
  int compute_major = 0;
  std::int64_t shared_bytes_max = 0;  // of a block that opted in (sharedMemPerBlockOptin)
  // How many clusters of so many blocks, 1 to 8 or 16, of the cluster variant run at once; zeros
  // where the device has none.
  std::array<int, 17> latent_clusters = {};
  // EncodeTensorMap of tensor_map.h; null where there is none, or nothing in this program uses it.
  void* encode_tensor_map = nullptr;
};

// Fills in everything but `partial` and `meeting`.
cudaError_t describe_device(int device_index, AttentionWorkspace& workspace);

// Enough for every shape: blocks that split are bounded by a multiple of the multiprocessors, and a
// block's result by 32 heads of 512 values (about 17 MB on 132 multiprocessors).
std::uint64_t attention_workspace_bytes(int multiprocessors);

cudaError_t launch_rope(const Rope& a, cudaStream_t stream);
cudaError_t launch_store_rows(const StoreRows& a, cudaStream_t stream);
cudaError_t launch_gather_rows(const GatherRows& a, cudaStream_t stream);

// "groups_decode" (sm_90a), "cluster_decode" (sm_90 and later), "mma_decode", "naive"
cudaError_t launch_mla_absorbed(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream, std::string_view variant = {});
// "wgmma_prefill" (sm_90a), "mma_prefill", "naive"
cudaError_t launch_mla_expanded(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream, std::string_view variant = {});
// "wgmma_prefill" (sm_90a) and "mma_prefill" where a sequence has many tokens, "mma_decode",
// "naive"
cudaError_t launch_gqa_attention(const GqaAttention& a, const AttentionWorkspace& workspace,
                                 cudaStream_t stream, std::string_view variant = {});

}  // namespace glm::kernels::cuda
