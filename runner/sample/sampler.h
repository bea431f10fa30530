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
#include "runner/sample/sampling_options.h"

namespace glm::runner {

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
