#include "cmd/bench/step_bytes.h"

#include <cmath>

namespace glm::bench {

StepBytes bytes_of_step(const runner::ModelFacts& facts, const StepShape& shape) {
  const runner::ModelConfig& config = facts.config;
  const auto sequences = static_cast<double>(shape.sequences);
  const auto all = static_cast<double>(config.moe.experts);
  StepBytes bytes;
  if (all > 0) {
    const double unchosen = 1 - static_cast<double>(config.moe.experts_per_token) / all;
    bytes.experts = all * (1 - std::pow(unchosen, sequences));
  }
  for (const runner::FormatGroup& group : facts.formats) {
    auto part = static_cast<double>(group.bytes);
    if (group.group == runner::kMtpGroup) continue;
    if (group.group == "experts" && all > 0) part *= bytes.experts / all;
    // A row for each token, unless the head reads all of them.
    if (group.group == "embeddings" && !config.tied_embeddings) {
      part *= sequences / static_cast<double>(config.vocab_size);
    }
    bytes.weights += part;
  }
  bytes.cache = sequences * shape.context * static_cast<double>(shape.token_bytes);
  return bytes;
}

}  // namespace glm::bench
