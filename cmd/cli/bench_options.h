// What can be said to `glm bench --serve`, and whether it can be done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/cli/bench_load.h"
#include "cmd/cli/bench_workload.h"

namespace glm::bench {

// As typed.
struct Options {
  std::string model;
  std::string url;
  std::string dataset = "random";
  std::string prompts = "ids";
  std::string concurrency = "1";
  std::string json_file;  // "-": standard output
  std::string api_key;
  std::int64_t input_len = 512;
  std::int64_t output_len = 256;
  std::optional<std::int64_t> num_prompts;  // else by the concurrency
  std::optional<std::int64_t> per_stream;   // likewise: so many for each stream
  std::int64_t num_warmups = -1;            // -1: by the concurrency
  std::int64_t vocab_size = 0;              // 0: ask the server
  std::uint64_t seed = 0;
  double temperature = 0;
};

struct Level {
  std::size_t concurrency = 1;
  std::size_t warmups = 1;   // requests that count for nothing
  std::size_t requests = 1;  // that do
};

struct Plan {
  LoadTarget target;
  Workload workload;  // its vocab_size may be 0: not known yet
  std::vector<Level> levels;
};

// Errc::invalid_argument or unsupported, naming the flag; Errc::exhausted for more prompts than
// memory should hold.
Result<Plan> plan(const Options& options);

}  // namespace glm::bench
