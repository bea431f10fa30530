// A tool call written as one JSON object, the way Hermes and Qwen do it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace glm::runner {

// {"name": …, "arguments": {…}}: the name, and the arguments as the JSON text of an object. Also
// "parameters" for "arguments", arguments given as JSON text, and none. Nothing for anything else.
std::optional<std::pair<std::string, std::string>> parse_json_call(std::string_view text);

}  // namespace glm::runner
