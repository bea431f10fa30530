// What the decode variants have in common on the host: a kernel whose blocks share the positions of
// a token, on tensor cores, and the combination of what they found.
#pragma once

#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/attention_combine.h"
#include "kernels/cuda/early_launch.h"

namespace glm::kernels::cuda {

struct SplitShapes {
  std::int64_t key_dim = 0;
  std::int64_t value_dim = 0;
  std::int64_t shared_bytes = 0;  // of a block, at least
};

template <typename Op>
bool split_supports(const Op& a, const AttentionWorkspace& workspace, const SplitShapes& shapes) {
  constexpr std::int64_t kGridMax = 65535;
  return workspace.compute_major >= 8 && workspace.shared_bytes_max >= shapes.shared_bytes &&
         a.q.dtype == Dtype::bf16 && a.q.size(2) == shapes.key_dim &&
         a.out.size(2) == shapes.value_dim && a.q.size(0) <= kGridMax && vector_rows(a.q) &&
         vector_rows(a.out) && vector_rows(a.rows.pages);
}

// Grid: splits, blocks of heads, tokens.
template <typename Source>
struct SplitKernel {
  void (*kernel)(Source, device::AttentionHeads, device::AttentionPartial) = nullptr;
  int threads = 0;
  int shared_bytes = 0;
  std::int64_t blocks_of_multiprocessor = 1;
  std::int64_t tile = 0;    // positions
  std::int64_t blocks = 0;  // of heads
};

template <typename Op, typename Source>
cudaError_t launch_split(const SplitKernel<Source>& k, const Op& a, const Source& source,
                         const device::AttentionHeads& heads, const AttentionWorkspace& workspace,
                         cudaStream_t stream) {
  const std::int64_t value_dim = a.out.size(2);
  const std::int64_t splits =
      choose_splits({.units = heads.tokens * k.blocks,
                     .tiles = (a.tokens.positions_max + k.tile - 1) / k.tile,
                     .places = k.blocks_of_multiprocessor * workspace.multiprocessors,
                     .splits_max = splits_max(workspace, heads, value_dim)});
  const device::AttentionPartial partial = attention_partial(workspace, heads, splits, value_dim);
  const cudaError_t code =
      cudaFuncSetAttribute(k.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, k.shared_bytes);
  if (code != cudaSuccess) return code;
  const dim3 grid(static_cast<unsigned>(splits), static_cast<unsigned>(k.blocks),
                  static_cast<unsigned>(heads.tokens));
  const cudaError_t launched =
      launch_early({.grid = grid,
                    .threads = static_cast<unsigned>(k.threads),
                    .shared_bytes = static_cast<std::size_t>(k.shared_bytes)},
                   k.kernel, stream, source, heads, partial);
  if (launched != cudaSuccess || splits == 1) return launched;
  return launch_attention_combine(partial, heads, stream);
}

}  // namespace glm::kernels::cuda
