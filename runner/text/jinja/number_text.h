// Numbers from text, as Python's int() and float() read them.
#pragma once

#include <optional>
#include <string_view>

#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

std::optional<Int> parse_int(std::string_view text, Int base);
std::optional<double> parse_float(std::string_view text);

// Towards zero; nothing for what is no integer of 127 bits.
std::optional<Value> truncated(double value);

}  // namespace glm::runner::jinja
