// Makes a client's messages into what chat templates expect.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace glm::runner {

// Returns the messages with
//   - `content: null` as "" (templates would print "None"); an absent content becomes "" too;
//   - the role "developer" as "system" and "function" as "tool";
//   - tool-call arguments given as a JSON string parsed into an object, key order kept; empty
//     text is {}; a bare call {"name", "arguments"} is kept as it is;
//   - `tool_name` (Ollama) copied to `name` unless that is there;
//   - `thinking` (Ollama) and `reasoning` copied to `reasoning_content` unless that is there.
// Errc::invalid_argument names the message: not an array, not an object, no role, a role that is
// none of these, arguments that are not a JSON object.
Result<nlohmann::ordered_json> normalise_messages(nlohmann::ordered_json messages);

}  // namespace glm::runner
