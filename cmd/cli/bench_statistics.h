// What the records of a run come to, by the definitions of `vllm bench serve`:
//
//   TTFT  from the beginning of a request to its first tokens
//   TPOT  (last arrival − first arrival) / (output tokens − 1), per request with more than one
//   ITL   from one arrival of tokens to the next, over all requests together
//   E2EL  from the beginning of a request to its last tokens
//
// Tokens per second are all tokens of complete answers over the time of the whole run. Failed
// requests are counted and enter nothing else.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cmd/cli/bench_exchange.h"
#include "cmd/cli/bench_load.h"

namespace glm::bench {

// All zero without values.
struct Distribution {
  double mean = 0;
  double median = 0;
  double deviation = 0;  // of the population
  double p99 = 0;        // between two values as numpy interpolates: linearly
};

Distribution distribution(std::vector<double> values);

struct LevelResult {
  std::size_t concurrency = 0;
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  std::int64_t counted_by_events = 0;  // complete answers whose server gave no usage
  std::string first_failure;
  double duration_s = 0;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  Distribution ttft_ms, tpot_ms, itl_ms, e2el_ms;

  double requests_per_s() const;
  double output_tokens_per_s() const;
  double total_tokens_per_s() const;
};

LevelResult summarize(std::size_t concurrency, const LoadRun& run);

}  // namespace glm::bench
