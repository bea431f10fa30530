// The second kernel of split attention: weighs the splits of each token and head by their sums, in
// the order of the splits.
#pragma once

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_splits.h"
#include "kernels/device/attention_partial.cuh"
#include "kernels/device/attention_source.cuh"

namespace glm::kernels::cuda {

// The views into the workspace for so many splits.
device::AttentionPartial attention_partial(const AttentionWorkspace& workspace,
                                           const device::AttentionHeads& heads, std::int64_t splits,
                                           std::int64_t value_dim);

// The most splits whose results the workspace holds; at least 1.
std::int64_t splits_max(const AttentionWorkspace& workspace, const device::AttentionHeads& heads,
                        std::int64_t value_dim);

// value_dim is 128 or 512, rows of out start at multiples of 8 bytes.
cudaError_t launch_attention_combine(const device::AttentionPartial& partial,
                                     const device::AttentionHeads& heads, cudaStream_t stream);

}  // namespace glm::kernels::cuda
