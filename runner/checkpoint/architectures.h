// Which architectures are known by name: how the configs of those that run are to be read, and what
// is missing to run the others.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

enum class AttentionKind { latent, grouped };

// What a config does not say, or may leave out: then the reference library's defaults hold.
struct ConfigDialect {
  AttentionKind attention = AttentionKind::grouped;
  double partial_rotary_factor = 1.0;
  bool rope_interleave = false;
  double routed_scaling_factor = 1.0;
};

struct Architecture {
  std::string_view model_type;  // "glm4_moe_lite"
  std::string_view class_name;  // "Glm4MoeLiteForCausalLM"
  std::string_view missing;     // empty: it runs (runner/models/registry.cc has its row)
  ConfigDialect dialect = {};   // of one that runs
};

std::span<const Architecture> known_architectures();
const Architecture* find_architecture(std::string_view model_type);

// Errc::unsupported with a sentence, unless the architecture runs.
Result<const Architecture*> require_architecture(std::string_view model_type);

}  // namespace glm::runner
