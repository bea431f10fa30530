// The results of a bench, for people and for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "cmd/cli/bench_statistics.h"

namespace glm::bench {

// A line per level.
std::string report_table(std::span<const LevelResult> levels);

// One level, with the field names that `vllm bench serve` writes.
nlohmann::ordered_json report_json(const LevelResult& level);

}  // namespace glm::bench
