#include "runner/checkpoint/architectures.h"

#include <array>

#include "runner/checkpoint/json_fields.h"

namespace glm::runner {
namespace {

constexpr std::array<Architecture, 12> kArchitectures = {{
    {"glm4_moe_lite",
     "Glm4MoeLiteForCausalLM",
     "",
     {.attention = AttentionKind::latent,
      .partial_rotary_factor = 1.0,
      .rope_interleave = true,
      .routed_scaling_factor = 1.8}},
    {"glm4_moe",
     "Glm4MoeForCausalLM",
     "",
     {.attention = AttentionKind::grouped,
      .partial_rotary_factor = 0.5,
      .rope_interleave = false,
      .routed_scaling_factor = 1.0}},
    {"glm_moe_dsa", "GlmMoeDsaForCausalLM", "sparse attention with its indexer (DSA)"},
    {"glm4", "Glm4ForCausalLM",
     "the extra norms after attention and MLP, and gate and up projections in one tensor"},
    {"deepseek_v3", "DeepseekV3ForCausalLM", "rotary scaling of the YaRN kind"},
    {"deepseek_v2", "DeepseekV2ForCausalLM",
     "a softmax router and rotary scaling of the YaRN kind"},
    {"qwen2", "Qwen2ForCausalLM", "the reading of configs without a mixture of experts"},
    {"qwen3", "Qwen3ForCausalLM", "the reading of configs without a mixture of experts"},
    {"qwen3_moe", "Qwen3MoeForCausalLM", "a softmax router"},
    {"llama", "LlamaForCausalLM",
     "the reading of configs without a mixture of experts, and rotary scaling of the llama3 kind"},
    {"mistral", "MistralForCausalLM",
     "the reading of configs without a mixture of experts, and attention over a sliding window"},
    {"gpt_oss", "GptOssForCausalLM",
     "attention with sinks and sliding windows, a softmax router over the chosen experts, their "
     "clamped activation, and rotary scaling of the YaRN kind"},
}};

std::string names_that_run() {
  std::string names;
  for (const Architecture& row : kArchitectures) {
    if (!row.missing.empty()) continue;
    if (!names.empty()) names += ", ";
    names += row.model_type;
  }
  return names;
}

}  // namespace

std::span<const Architecture> known_architectures() {
  return kArchitectures;
}

const Architecture* find_architecture(std::string_view model_type) {
  for (const Architecture& row : kArchitectures) {
    if (row.model_type == model_type) return &row;
  }
  return nullptr;
}

Result<const Architecture*> require_architecture(std::string_view model_type) {
  const Architecture* row = find_architecture(model_type);
  if (row == nullptr) {
    return make_error(Errc::unsupported, "architecture '{}' is unknown to this program; it runs {}",
                      printable(model_type), names_that_run());
  }
  if (!row->missing.empty()) {
    return make_error(Errc::unsupported,
                      "architecture '{}' is not supported yet: what is missing is {}; this program "
                      "runs {}",
                      model_type, row->missing, names_that_run());
  }
  return row;
}

}  // namespace glm::runner
