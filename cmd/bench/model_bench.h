// `glm bench MODEL` and `glm bench --synthetic NAME`: the model in this process, prompts and
// decoding at several numbers of sequences, beside what the device's memory allows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/bench/output.h"
#include "cmd/bench/subject.h"
#include "runner/plan/run_plan.h"

namespace glm::bench {

// As typed.
struct ModelOptions {
  std::string prompt = "512";
  std::string generate = "128";
  std::string batch;  // empty: 1 to 64, as far as they fit; on a CPU 1 and 4
  std::int64_t context = 0;
  std::string device = "auto";
  std::int64_t threads = 0;
  std::string kv_cache_type = "bf16";
  double temperature = 1;
  std::uint64_t seed = 0;
};

// Errc::invalid_argument, naming the flag: what can be said without looking at model or device.
Status check(const ModelOptions& options);

// `smaller`: other forms of the model, for the message where there is no room for it.
// Errc::exhausted before anything is loaded: with the numbers and what would fit.
Status measure(const Subject& subject, const ModelOptions& options,
               std::vector<runner::Alternative> smaller, Output& output);

}  // namespace glm::bench
