#include "cmd/cli/bench_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "cmd/cli/table.h"

namespace glm::bench {
namespace {

std::string decimals(double value) {
  if (value >= 1000) return fmt::format("{:.0f}", value);
  return value >= 100 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

void add(nlohmann::ordered_json& json, const std::string& name, const Distribution& values) {
  json["mean_" + name] = values.mean;
  json["median_" + name] = values.median;
  json["std_" + name] = values.deviation;
  json["p99_" + name] = values.p99;
}

}  // namespace

std::string report_table(std::span<const LevelResult> levels) {
  std::vector<std::vector<std::string>> rows = {{"STREAMS", "REQUESTS", "FAILED", "SECONDS",
                                                 "REQ/S", "OUT TOK/S", "TOK/S", "TTFT MS", "P99",
                                                 "TPOT MS", "P99", "ITL MS", "P99"}};
  for (const LevelResult& level : levels) {
    std::vector<std::string> row = {
        fmt::format("{}", level.concurrency), fmt::format("{}", level.completed + level.failed),
        fmt::format("{}", level.failed),      decimals(level.duration_s),
        decimals(level.requests_per_s()),     decimals(level.output_tokens_per_s()),
        decimals(level.total_tokens_per_s())};
    for (const Distribution* values : {&level.ttft_ms, &level.tpot_ms, &level.itl_ms}) {
      row.push_back(decimals(values->median));
      row.push_back(decimals(values->p99));
    }
    rows.push_back(std::move(row));
  }
  return table(rows);
}

nlohmann::ordered_json report_json(const LevelResult& level) {
  nlohmann::ordered_json json = {{"max_concurrency", level.concurrency},
                                 {"num_prompts", level.completed + level.failed},
                                 {"completed", level.completed},
                                 {"failed", level.failed},
                                 {"duration", level.duration_s},
                                 {"total_input_tokens", level.input_tokens},
                                 {"total_output_tokens", level.output_tokens},
                                 {"request_throughput", level.requests_per_s()},
                                 {"output_throughput", level.output_tokens_per_s()},
                                 {"total_token_throughput", level.total_tokens_per_s()}};
  add(json, "ttft_ms", level.ttft_ms);
  add(json, "tpot_ms", level.tpot_ms);
  add(json, "itl_ms", level.itl_ms);
  add(json, "e2el_ms", level.e2el_ms);
  return json;
}

}  // namespace glm::bench
