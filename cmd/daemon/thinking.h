// Whether, and how hard, a model is to think: what clients say in their dialects' ways, as the
// variables that the model's chat template has for it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "runner/text/chat_template.h"

namespace glm::daemon {

struct Thinking {
  std::optional<bool> on;  // absent: the template's default
  std::string level;       // "low", "medium", "high", "max" …; empty: the template's default
};

// Whether the template has any variable for it.
bool can_think(const runner::ChatTemplate& chat_template);

// Adds the variables, as far as the template has them and `variables` does not: what a client says
// in chat_template_kwargs stands.
//
//   template mentions    on              level
//   enable_thinking      true, false     -              GLM, Qwen3
//   reasoning_effort     false: "low"    the level      gpt-oss, GLM-5
//   thinking             true, false     -              DeepSeek-V3.1; if nothing of the above
void add_thinking(const runner::ChatTemplate& chat_template, const Thinking& thinking,
                  nlohmann::ordered_json& variables);

}  // namespace glm::daemon
