// A template over a conversation. It must end soon, in a text or an error.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.h"
#include "runner/text/chat_template.h"
#include "runner/text/utf8.h"

namespace {

const nlohmann::ordered_json& context() {
  static const auto json = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "é"}]},
      {"role": "assistant", "content": "a</think>b", "tool_calls": [{"function": {"name": "f", "arguments": {"k": 1.5}}}]},
      {"role": "tool", "content": "t"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "n": 3, "s": "text é 中", "l": [3, 1, 2], "d": {"b": 1, "a": [null, true]}, "add_generation_prompt": true})");
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed =
      glm::runner::ChatTemplate::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!parsed.ok()) {
    GLM_CHECK(!parsed.error().message.empty());
    return 0;
  }
  const auto rendered = parsed->render(context(), {.steps_max = 200'000});
  if (rendered.ok()) GLM_CHECK(glm::runner::is_valid_utf8(*rendered));
  return 0;
}
