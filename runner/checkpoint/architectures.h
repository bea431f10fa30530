// Which architectures are known by name, and what is missing to run those that do not run yet.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

struct Architecture {
  std::string_view model_type;  // "glm4_moe_lite"
  std::string_view class_name;  // "Glm4MoeLiteForCausalLM"
  std::string_view missing;     // empty: it runs (runner/models/registry.cc has its row)
};

std::span<const Architecture> known_architectures();
const Architecture* find_architecture(std::string_view model_type);

// Errc::unsupported with a sentence, unless the architecture runs.
Status require_architecture(std::string_view model_type);

}  // namespace glm::runner
