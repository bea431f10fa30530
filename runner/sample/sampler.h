// From logits to one token id.
//
// Order: penalties, then temperature, then top_k, top_p, min_p, then a draw. The same seed, logits
// and history give the same ids on every platform whose float arithmetic is IEEE.
//
// Thread safety: none; one sampler per sequence.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "runner/sample/random.h"

namespace glm::runner {

struct SamplingOptions {
  float temperature = 1.0F;           // 0: greedy, the lowest id among equals
  std::int32_t top_k = 0;             // 0: all
  float top_p = 1.0F;                 // 1: all
  float min_p = 0.0F;                 // 0: all; relative to the most likely token
  float repeat_penalty = 1.0F;        // 1: none; divides positive logits, multiplies negative ones
  float presence_penalty = 0.0F;      // subtracted once from every token seen
  float frequency_penalty = 0.0F;     // subtracted once per occurrence
  std::int32_t repeat_last_n = 64;    // how much history the penalties see; 0: none, -1: all
  std::optional<std::uint64_t> seed = std::nullopt;  // absent: a fresh one

  // Ids from here on are padding rows of the embedding and are never sampled.
  std::int32_t vocab_limit = std::numeric_limits<std::int32_t>::max();
};

class Sampler {
 public:
  explicit Sampler(SamplingOptions options);

  // `logits` is scratch afterwards. `history` is the sequence so far, prompt included. Never
  // returns an id outside [0, min(logits.size(), vocab_limit)), which must not be empty; logits
  // that are NaN are never chosen while another is not.
  std::int32_t sample(std::span<float> logits, std::span<const std::int32_t> history);

  std::uint64_t seed() const { return seed_; }

 private:
  struct Candidate {
    float logit;
    std::int32_t id;
  };

  void penalize(std::span<float> logits, std::span<const std::int32_t> history);
  std::int32_t draw(std::span<const float> logits);
  static bool before(const Candidate& a, const Candidate& b);
  void keep_most_likely(std::size_t count);
  std::size_t sort_prefix(std::size_t sorted);

  SamplingOptions options_;
  std::uint64_t seed_;
  Random random_;
  std::vector<Candidate> candidates_;
  std::vector<double> weights_;
  std::vector<std::int32_t> seen_;
};

}  // namespace glm::runner
