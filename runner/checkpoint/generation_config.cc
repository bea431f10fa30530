#include "runner/checkpoint/generation_config.h"

#include "runner/checkpoint/json_fields.h"

namespace glm::runner {
namespace {

Result<std::optional<float>> optional_number(const JsonFields& fields, const std::string& name,
                                             NumberRange range) {
  if (!fields.has(name)) return std::optional<float>();
  return std::optional<float>(static_cast<float>(GLM_TRY(fields.number(name, range))));
}

}  // namespace

Result<GenerationConfig> parse_generation_config(std::string_view json) {
  const JsonFields fields = GLM_TRY(JsonFields::parse(json, "generation_config.json"));
  GenerationConfig config;
  config.eos_ids = GLM_TRY(token_ids(fields, "eos_token_id"));
  GenerationDefaults& defaults = config.defaults;
  if (fields.has("do_sample")) defaults.do_sample = GLM_TRY(fields.boolean("do_sample"));
  defaults.temperature = GLM_TRY(optional_number(fields, "temperature", {0, 100}));
  defaults.top_p = GLM_TRY(optional_number(fields, "top_p", {0, 1}));
  defaults.min_p = GLM_TRY(optional_number(fields, "min_p", {0, 1}));
  defaults.repetition_penalty = GLM_TRY(optional_number(fields, "repetition_penalty", {0, 100}));
  if (fields.has("top_k")) {
    defaults.top_k = static_cast<std::int32_t>(GLM_TRY(fields.integer("top_k", {0, 1 << 24})));
  }
  return config;
}

}  // namespace glm::runner
