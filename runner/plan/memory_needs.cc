#include "runner/plan/memory_needs.h"

#include <algorithm>

#include "kernels/ops/sample.h"
#include "runner/sample/sampling_options.h"
#include "runner/schedule/batch_limits.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {
namespace {

constexpr std::int64_t kIntBytes = 4;
constexpr std::int64_t kFloatBytes = 4;

// See MlaScratch: positions whose keys and values are expanded at a time.
constexpr std::int64_t kExpandedMaxElements = 1LL << 27;

std::uint64_t mtp_bytes(const ModelFacts& facts) {
  std::uint64_t sum = 0;
  for (const FormatGroup& group : facts.formats) {
    if (group.group == kMtpGroup) sum += group.bytes;
  }
  return sum;
}

std::int64_t attention_elements(const ModelConfig& c, std::int64_t tokens, std::int64_t context) {
  const MlaDims& mla = c.mla;
  if (mla.kv_rank == 0) {
    return tokens * (2 * c.heads * c.gqa.head_dim + c.cache_dim());
  }
  const std::int64_t per_head =
      mla.qk_dim() + mla.cache_dim() + mla.kv_rank + mla.v_dim;  // q, absorbed q, latents, outputs
  const std::int64_t expanded = c.heads * (mla.nope_dim + mla.v_dim);
  const std::int64_t positions =
      std::min(context, kExpandedMaxElements / std::max<std::int64_t>(expanded, 1));
  return tokens * (mla.q_rank + mla.cache_dim() + c.heads * per_head) +
         positions * (mla.cache_dim() + expanded);
}

// Of the CUDA backend itself: a row for each use of an expert by a token.
std::int64_t cuda_bytes(const ModelConfig& c, std::int64_t tokens) {
  constexpr std::int64_t kSplitsBytes = 24LL << 20;  // partial results of attention
  return tokens * c.moe.experts_per_token *
             (2 * c.moe.intermediate_size + kFloatBytes * c.hidden_size) +
         kSplitsBytes;
}

std::uint64_t workspace_bytes(const ModelFacts& facts, Backend backend) {
  const ModelConfig& c = facts.config;
  const bool cuda = backend == Backend::cuda;
  const auto [tokens, sequences] = batch_limits_of(cuda);
  const std::int64_t inner =
      std::max(c.intermediate_size, c.moe.shared_experts * c.moe.intermediate_size);
  const std::int64_t elements = (4 * tokens + sequences) * c.hidden_size +
                                tokens * (inner + c.hidden_size) +
                                attention_elements(c, tokens, facts.context_max);
  // What a step is told, and what it leaves for the host: see StepInputs and StepsInFlight.
  const std::int64_t inputs =
      kIntBytes * (4 * tokens + sequences * (1 + pages_of(facts.context_max))) +
      sequences * static_cast<std::int64_t>(sizeof(kernels::SampleRow) +
                                            kTokenBiasesMax * sizeof(kernels::LogitBias) +
                                            sizeof(kernels::SampledRow));
  const std::int64_t router =
      tokens * (kFloatBytes * c.moe.experts + (kIntBytes + kFloatBytes) * c.moe.experts_per_token);
  // A GPU has those that sampling has changed beside those that came.
  const std::int64_t logits = (cuda ? 2 : 1) * kFloatBytes * sequences * c.vocab_size;
  return static_cast<std::uint64_t>(elements * (cuda ? 2 : 4) + inputs + router + logits +
                                    (cuda ? cuda_bytes(c, tokens) : 0));
}

// The chosen experts, the head and everything else but the table of embeddings.
std::uint64_t token_read_bytes(const ModelFacts& facts) {
  const MoeDims& moe = facts.config.moe;
  double sum = 0;
  for (const FormatGroup& group : facts.formats) {
    auto bytes = static_cast<double>(group.bytes);
    if (group.group == kMtpGroup) continue;
    if (group.group == "embeddings" && !facts.config.tied_embeddings) continue;
    if (group.group == "experts" && moe.experts > 0) {
      bytes *= static_cast<double>(moe.experts_per_token) / static_cast<double>(moe.experts);
    }
    sum += bytes;
  }
  return static_cast<std::uint64_t>(sum);
}

}  // namespace

ModelNeeds needs_of(const ModelFacts& facts, Backend backend, kernels::KvFormat kv_format) {
  const ModelConfig& c = facts.config;
  const std::int64_t value_bytes = backend == Backend::cuda ? 2 : 4;
  ModelNeeds needs;
  needs.context_own = facts.context_max;
  needs.workspace_bytes = workspace_bytes(facts, backend);
  needs.page_bytes =
      static_cast<std::uint64_t>(c.layers * kPageTokens * c.cache_dim() * value_bytes);
  needs.kv_format = backend == Backend::cuda ? "bf16" : "f32";
  if (kv_format == kernels::KvFormat::fp8_latent) {
    const kernels::LatentRecord record{.latent = c.mla.kv_rank, .rope = c.mla.rope_dim};
    needs.page_bytes = static_cast<std::uint64_t>(c.layers * kPageTokens * record.size_bytes());
    needs.kv_format = "fp8";
  }
  if (facts.weight_bytes == 0) return needs;
  needs.weight_bytes = facts.weight_bytes - std::min(facts.weight_bytes, mtp_bytes(facts));
  needs.token_read_bytes = token_read_bytes(facts);
  return needs;
}

}  // namespace glm::runner
