// generation_config.json: how the authors want their model sampled, and which tokens end a turn.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace glm::runner {

// Absent means the file does not say.
struct GenerationDefaults {
  std::optional<bool> do_sample;
  std::optional<float> temperature;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<std::int32_t> top_k;
  std::optional<float> repetition_penalty;
};

struct GenerationConfig {
  GenerationDefaults defaults;
  std::vector<std::int32_t> eos_ids;  // empty: ask config.json
};

// Errc::corrupt names the field.
Result<GenerationConfig> parse_generation_config(std::string_view json);

}  // namespace glm::runner
