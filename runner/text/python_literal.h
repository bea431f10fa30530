// Python's way of writing data, which models slip into: {'a': True, 'b': None}.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

namespace glm::runner {

// Lists, tuples (as arrays), dicts with string keys, strings, numbers, True, False, None (and their
// JSON spellings). Nothing for anything else, or nested more than 100 deep.
std::optional<nlohmann::ordered_json> parse_python_literal(std::string_view text);

}  // namespace glm::runner
