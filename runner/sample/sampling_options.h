// How a sequence's tokens are chosen; what each step does is in kernels/ops/sample.h.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace glm::runner {

struct TokenBias {
  std::int32_t id = 0;
  float bias = 0;  // added to the logit; -infinity: never

  bool operator==(const TokenBias& other) const = default;
};

// A list may have so many.
inline constexpr std::size_t kTokenBiasesMax = 1024;

struct SamplingOptions {
  float temperature = 1.0F;         // 0: greedy, the lowest id among equals
  std::int32_t top_k = 0;           // 0: all
  float top_p = 1.0F;               // 1: all
  float min_p = 0.0F;               // 0: all; relative to the most likely token
  float repeat_penalty = 1.0F;      // 1: none; divides positive logits, multiplies negative ones
  float presence_penalty = 0.0F;    // subtracted once from every token seen
  float frequency_penalty = 0.0F;   // subtracted once per occurrence
  std::int32_t repeat_last_n = 64;  // how much history the penalties see; 0: none, -1: all
  std::optional<std::uint64_t> seed = std::nullopt;  // absent: a fresh one, chosen by the engine

  // Ids from here on are padding rows of the embedding and are never sampled.
  std::int32_t vocab_limit = std::numeric_limits<std::int32_t>::max();

  std::vector<TokenBias> logit_bias = {};  // an id at most once
  std::int32_t logprobs = -1;  // -1: none; n: of each token, and of the n most likely; at most 20
};

// From the operating system's entropy.
std::uint64_t fresh_seed();

}  // namespace glm::runner
