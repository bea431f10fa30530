// The numbers of `--verbose`.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace glm {

// As Go prints durations, which is what readers of Ollama's output expect: "1.234s", "98.765432ms",
// "1m2.5s", "0s".
std::string format_nanoseconds(std::int64_t nanoseconds);

// The block of lines, from the last object of an answer. Counts that are missing are left out.
std::string statistics_text(const nlohmann::ordered_json& last);

}  // namespace glm
