// Host entries of the CUDA kernels: grid and launch, nothing else. Arguments have been checked and
// lie in device memory. What they return is the error of the launch; later ones come with the sync.
//
// Most start before the kernel in front of them in their stream has ended, and wait for it before
// they touch an activation. Weights, and what says where tokens stand (positions, sequences, page
// tables), may be read before that: they were complete before the second kernel in front let others
// start. Two, as norms inside a layer, also of the sum of experts, and latent attention of more
// than eight tokens, let the kernel behind start before they may begin themselves; never two such
// behind each other.
//
// `variant` forces one by name (product.h); empty: the best that fits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "kernels/cuda/moe_sum.h"
#include "kernels/cuda/moe_workspace.h"
#include "kernels/cuda/sample_workspace.h"
#include "kernels/ops/ceilings.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/gated_linear.h"
#include "kernels/ops/head_linear.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/moe_layer.h"
#include "kernels/ops/moe_mlp.h"
#include "kernels/ops/normed_linear.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/router_topk.h"
#include "kernels/ops/sample.h"
#include "kernels/ops/step_ids.h"
#include "kernels/ops/timestamp.h"

namespace glm::kernels::cuda {

cudaError_t launch_embedding(const Embedding& a, cudaStream_t stream);
cudaError_t launch_gated_linear(const GatedLinear& a, std::string_view variant,
                                cudaStream_t stream);
// `split`: for products whose columns are shared out among blocks; without it none are.
cudaError_t launch_head_linear(const HeadLinear& a, std::string_view variant, cudaStream_t stream,
                               const SplitSums& split = {});
cudaError_t launch_linear(const Linear& a, std::string_view variant, cudaStream_t stream,
                          const SplitSums& split = {});
// What is left of it when its norm has been applied.
cudaError_t launch_linears(const NormedLinear& a, std::string_view variant, cudaStream_t stream,
                           const SplitSums& split = {});
// The same with the second half of the norm (RowSquares, product.h), of what is in norm.out.
bool supports_linears_in_halves(const NormedLinear& a, const SplitSums& split);
cudaError_t launch_linears_in_halves(const NormedLinear& a, const RowSquares& squares,
                                     const SplitSums& split, cudaStream_t stream);
// A layer's front with the first half of its norm, of which front.projection.out has the result,
// and `squares` in parts of kSquaredOutputs.
bool supports_front_in_halves(const MoeLayer& a, const SplitSums& split);
cudaError_t launch_front_in_halves(const MoeLayer& a, const SplitSums& split, float* squares,
                                   cudaStream_t stream);
// `shared_ready`, unless null, is the event after which a.shared may be read. `left`, unless null,
// takes the last of it, which is then not launched.
cudaError_t launch_moe_mlp(const MoeMlp& a, const MoeWorkspace& space, std::string_view variant,
                           cudaEvent_t shared_ready, cudaStream_t stream,
                           std::optional<MoeSum>* left = nullptr,
                           const MoeLayer::SharedExpert* begun = nullptr);
// Whether it ends a shared expert that is `begun`: it reads begun->inner and writes begun->out. It
// must not be given one where this is false, or with a variant.
bool ends_shared_expert(const MoeLayer& a, const MoeWorkspace& space);
cudaError_t launch_multiply(const Multiply& a, cudaStream_t stream);
cudaError_t launch_read_memory(const ReadMemory& a, cudaStream_t stream);
cudaError_t launch_rms_norm(const RmsNorm& a, cudaStream_t stream);
cudaError_t launch_router_topk(const RouterTopK& a, cudaStream_t stream);
cudaError_t launch_sample(const Sample& a, const SampleWorkspace& space, cudaStream_t stream);
// With a.head, whose results are not stored; `split` as the product alone would have it: a row's
// logits are the same bits either way.
bool supports_sample_of_head(const Sample& a, const SplitSums& split);
cudaError_t launch_sample_of_head(const Sample& a, const SampleWorkspace& space,
                                  const SplitSums& split, cudaStream_t stream);
// With rows of a table in bf16 that can be moved sixteen bytes at a time, and the time.
bool supports_step_rows(const StepIds& a);
cudaError_t launch_step_rows(const StepIds& a, cudaStream_t stream);
cudaError_t launch_step_ids(const StepIds& a, cudaStream_t stream);
cudaError_t launch_timestamp(const Timestamp& a, cudaStream_t stream);

// numbers[i] = i * 2654435761 + salt, modulo 2^32.
struct SelfTestNumbers {
  std::uint32_t* numbers = nullptr;
  std::uint32_t count = 0;
  std::uint32_t salt = 0;
};
cudaError_t launch_self_test(const SelfTestNumbers& a, cudaStream_t stream);

}  // namespace glm::kernels::cuda
