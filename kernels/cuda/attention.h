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
// number of splits (choose_splits of attention_splits.h: shapes and positions_max) stay the same.
// Naive and prefill variants do not split.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string_view>

#include "kernels/ops/gqa_attention.h"
#include "kernels/ops/mla_attention.h"
#include "kernels/ops/mla_latents.h"
#include "kernels/ops/paged_rows.h"
#include "kernels/ops/rope.h"

namespace glm::kernels::cuda {

// What attention needs of the device, and its memory for partial results. One launch at a time may
// use it: launches of one stream do.
struct AttentionWorkspace {
  float* partial = nullptr;  // attention_workspace_bytes(multiprocessors), 16-byte aligned
  int multiprocessors = 0;
  int compute_major = 0;
  std::int64_t shared_bytes_max = 0;  // of a block that opted in (sharedMemPerBlockOptin)
};

// Fills in everything but `partial`.
cudaError_t describe_device(int device_index, AttentionWorkspace& workspace);

// Enough for every shape: blocks that split are bounded by a multiple of the multiprocessors, and a
// block's result by 32 heads of 512 values (about 17 MB on 132 multiprocessors).
std::uint64_t attention_workspace_bytes(int multiprocessors);

cudaError_t launch_rope(const Rope& a, cudaStream_t stream);
cudaError_t launch_store_rows(const StoreRows& a, cudaStream_t stream);
// In one launch: bf16, plain pages, whole octets of columns.
bool supports_mla_latents(const MlaLatents& a);
cudaError_t launch_mla_latents(const MlaLatents& a, cudaStream_t stream);
cudaError_t launch_gather_rows(const GatherRows& a, cudaStream_t stream);

// "mma_decode", "naive"
cudaError_t launch_mla_absorbed(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream, std::string_view variant = {});
// "mma_prefill", "naive"
cudaError_t launch_mla_expanded(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                cudaStream_t stream, std::string_view variant = {});
// "mma_prefill" where a sequence has many tokens, "mma_decode", "naive"
cudaError_t launch_gqa_attention(const GqaAttention& a, const AttentionWorkspace& workspace,
                                 cudaStream_t stream, std::string_view variant = {});

}  // namespace glm::kernels::cuda
