// The prefill variants for sm_90a: launches of device/attention_flash.cuh.
// Contracts: kernels/ops/mla_attention.h (expanded; heads of 256 columns),
// kernels/ops/gqa_attention.h (heads of 128 columns).
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/attention_variants.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/device/attention_flash.cuh"
#include "kernels/device/attention_flash_turns.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kExpandedDim = 256;
constexpr int kExpandedTile = 64;
constexpr int kGroupedDim = 128;
constexpr int kGroupedTile = 128;

template <int kDim, int kTile>
constexpr int kSharedBytes = sizeof(device::FlashShared<kDim, kTile>) + 1024;  // to align it

bool is_hopper(const AttentionWorkspace& workspace, std::int64_t shared_bytes) {
  return workspace.compute_major == 9 && workspace.encode_tensor_map != nullptr &&
         workspace.shared_bytes_max >= shared_bytes;
}

// A kernel whose blocks have `rows` each.
template <typename Source>
cudaError_t launch(void (*kernel)(Source, device::AttentionHeads), int rows, int shared_bytes,
                   const Source& source, const device::AttentionHeads& heads, cudaStream_t stream) {
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  if (code != cudaSuccess) return code;
  const std::int64_t all = static_cast<std::int64_t>(heads.tokens) * heads.group;
  return launch_early({.grid = {static_cast<unsigned>(heads.heads / heads.group),
                                static_cast<unsigned>((all + rows - 1) / rows)},
                       .threads = device::kFlashThreads,
                       .shared_bytes = static_cast<std::size_t>(shared_bytes)},
                      kernel, stream, source, heads);
}

template <int kDim, int kTile, typename Source>
cudaError_t launch(const Source& source, const device::AttentionHeads& heads, cudaStream_t stream) {
  return launch(&device::attention_flash_kernel<Source, kDim, kTile>, device::kFlashRows,
                kSharedBytes<kDim, kTile>, source, heads, stream);
}

// Whether blocks of kFlashRows would be fewer than multiprocessors. Each head has keys of its own.
bool has_few_blocks(const device::AttentionHeads& heads, const AttentionWorkspace& workspace) {
  const std::int64_t blocks = (heads.tokens + device::kFlashRows - 1) / device::kFlashRows;
  return blocks * heads.heads < workspace.multiprocessors;
}

EncodeTensorMap encoder(const AttentionWorkspace& workspace) {
  return reinterpret_cast<EncodeTensorMap>(workspace.encode_tensor_map);
}

// Columns, heads, positions.
cudaError_t map_of(const AttentionWorkspace& workspace, const ConstTensorView& a,
                   CUtensorMap& map) {
  const bool headed = a.rank == 3;
  const int position = 0;
  const std::int64_t heads = headed ? a.size(1) : 1;
  return make_tensor_map(encoder(workspace),
                         {.data = a.data,
                          .columns = a.size(a.rank - 1),
                          .middle = heads,
                          .outer = a.size(position),
                          .middle_stride = headed && heads > 1 ? a.stride(1) : a.stride(position),
                          .outer_stride = a.stride(position),
                          .box_outer = device::kFlashBlock},
                         map);
}

}  // namespace

bool mla_expanded_wgmma_prefill_supports(const MlaExpanded& a,
                                         const AttentionWorkspace& workspace) {
  return is_hopper(workspace, kSharedBytes<kExpandedDim, kExpandedTile>) &&
         a.q.dtype == Dtype::bf16 && a.q.size(2) == kExpandedDim &&
         a.k.size(2) % device::kFlashBlock == 0 && a.k_rope.size(1) % device::kFlashBlock == 0 &&
         a.out.size(2) == kExpandedDim && vector_rows(a.q) && vector_rows(a.k) &&
         vector_rows(a.k_rope) && vector_rows(a.v) && vector_rows(a.out);
}

cudaError_t mla_expanded_wgmma_prefill(const MlaExpanded& a, const AttentionWorkspace& workspace,
                                       cudaStream_t stream) {
  device::FlashExpanded source = {.k = {},
                                  .k_rope = {},
                                  .v = {},
                                  .nope = static_cast<int>(a.k.size(2)),
                                  .first = static_cast<int>(a.k.size(0) - a.q.size(0))};
  cudaError_t code = map_of(workspace, a.k, source.k);
  if (code == cudaSuccess) code = map_of(workspace, a.k_rope, source.k_rope);
  if (code == cudaSuccess) code = map_of(workspace, a.v, source.v);
  if (code != cudaSuccess) return code;
  const device::AttentionHeads heads = device_heads(a.out, a.q, a.q.size(1), a.scale);
  if (has_few_blocks(heads, workspace)) {
    constexpr int kBytes = sizeof(device::FlashTurnShared<kExpandedDim, kExpandedTile>) + 1024;
    return launch(
        &device::attention_flash_turns_kernel<device::FlashExpanded, kExpandedDim, kExpandedTile>,
        device::kFlashTurnRows, kBytes, source, heads, stream);
  }
  return launch<kExpandedDim, kExpandedTile>(source, heads, stream);
}

bool gqa_attention_wgmma_prefill_supports(const GqaAttention& a,
                                          const AttentionWorkspace& workspace) {
  return is_hopper(workspace, kSharedBytes<kGroupedDim, kGroupedTile>) &&
         a.q.dtype == Dtype::bf16 && a.q.size(2) == kGroupedDim && a.out.size(2) == kGroupedDim &&
         vector_rows(a.q) && vector_rows(a.out) && vector_rows(a.rows.pages);
}

cudaError_t gqa_attention_wgmma_prefill(const GqaAttention& a, const AttentionWorkspace& workspace,
                                        cudaStream_t stream) {
  device::FlashPages source = {.source = device_source(a), .rows = {}};
  const TensorView& pages = a.rows.pages;
  const cudaError_t code = make_tensor_map(encoder(workspace),
                                           {.data = pages.data,
                                            .columns = pages.size(2),
                                            .middle = pages.size(1),
                                            .outer = pages.size(0),
                                            .middle_stride = pages.stride(1),
                                            .outer_stride = pages.stride(0),
                                            .box_middle = device::kFlashBlock},
                                           source.rows);
  if (code != cudaSuccess) return code;
  return launch<kGroupedDim, kGroupedTile>(source, device_heads(a.out, a.q, a.kv_heads, a.scale),
                                           stream);
}

}  // namespace glm::kernels::cuda
