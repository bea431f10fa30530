// JSON into values, and values into JSON as Python's json.dumps writes it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/jinja/operators.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

// Errc::exhausted: nested too deeply.
Result<Value> from_json(Room& room, const nlohmann::ordered_json& json);

// Errc::invalid_argument: not JSON.
Result<Value> parse_json(Room& room, std::string_view text);

struct DumpOptions {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string indent;  // of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// Errc::invalid_argument: "Object of type Undefined is not JSON serializable".
Result<std::string> dump_json(Room& room, const Value& value, const DumpOptions& options);

}  // namespace glm::runner::jinja
