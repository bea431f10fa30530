// Measures one row: random prompts of several sequences worked off, then a token for each of them
// step after step, as the engine does it: two steps in flight, tokens chosen on the device.
//
// Thread safety: none, as the model's.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "base/result.h"
#include "runner/models/model.h"

namespace glm::bench {

struct RowShape {
  std::int64_t context = 0;  // tokens of each sequence that are there already, and not timed
  std::int64_t prompt = 0;   // tokens of each sequence
  std::int64_t generate = 0;
  std::int64_t sequences = 1;

  std::int64_t tokens_each() const { return context + prompt + generate; }
  std::int64_t tokens() const { return sequences * tokens_each(); }  // in the cache at the end
};

struct RowTimes {
  double prompt_s = 0;
  double generate_s = 0;
};

struct GenerationOptions {
  float temperature = 1;
  std::uint64_t seed = 0;
  // A whole row that counts for nothing before the one that does, for devices that load kernels and
  // record steps the first time they occur; else a token of each kind.
  bool warm_whole = true;
};

class Generation {
 public:
  // Both outlive it. The pool has the pages of the largest row, one token more for each sequence.
  Generation(runner::Model& model, runner::KvPool& pool, const GenerationOptions& options);

  // Errc::internal: logits are not finite. Errc::exhausted, device.
  Result<RowTimes> run(const RowShape& shape);

 private:
  using Tokens = std::vector<std::int32_t>;

  std::vector<Tokens> random_tokens(const RowShape& shape, std::int64_t each);
  Status work_off(const std::vector<Tokens>& tokens, bool wants_next);
  Status generate(std::int64_t steps);
  Status submit(const std::vector<runner::SequenceStep>& steps);
  Status collect();
  Status drain();
  void forget(std::int64_t from);

  runner::Model& model_;
  runner::KvPool& pool_;
  const GenerationOptions options_;
  std::mt19937_64 random_;
  std::vector<runner::KvCache> caches_;
  std::vector<runner::SamplingOptions> sampling_;
  std::size_t in_flight_ = 0;
};

}  // namespace glm::bench
