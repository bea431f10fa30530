// A config.json, then after a zero byte a generation_config.json.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/checkpoint/quantization.h"

namespace {

template <typename T>
bool answered(const glm::Result<T>& result) {
  GLM_CHECK(result.ok() || !result.error().message.empty());
  return result.ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  const std::string_view config = input.substr(0, zero);
  const std::string_view generation =
      zero == std::string_view::npos ? std::string_view() : input.substr(zero + 1);
  // Each on its own, so that an error in the first does not hide the others.
  const bool named = answered(glm::runner::architecture_of(config));
  const bool parsed = answered(glm::runner::parse_model_config(config));
  GLM_CHECK(named || !parsed);
  answered(glm::runner::find_quantization(config, {}));
  answered(glm::runner::parse_generation_config(generation));
  const auto facts = glm::runner::inspect_config(config, generation);
  if (answered(facts)) {
    GLM_CHECK(parsed);
    GLM_CHECK(facts->parameters > 0 && facts->parameters_active <= facts->parameters);
    GLM_CHECK(!glm::runner::facts_json(*facts).empty());
  }
  return 0;
}
