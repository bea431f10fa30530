#include "runner/sample/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace glm::runner {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// The lowest id among the largest logits.
std::int32_t largest(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t id = 1; id < logits.size(); ++id) {
    if (logits[id] > logits[best]) best = id;
  }
  return static_cast<std::int32_t>(best);
}

}  // namespace

Sampler::Sampler(SamplingOptions options)
    : options_(options), seed_(options.seed ? *options.seed : fresh_seed()), random_(seed_) {}

void Sampler::penalize(std::span<float> logits, std::span<const std::int32_t> history) {
  const bool none = options_.repeat_penalty == 1.0F && options_.presence_penalty == 0.0F &&
                    options_.frequency_penalty == 0.0F;
  if (none || options_.repeat_last_n == 0) return;
  if (options_.repeat_last_n > 0) {
    history =
        history.last(std::min(history.size(), static_cast<std::size_t>(options_.repeat_last_n)));
  }
  seen_.assign(history.begin(), history.end());
  std::sort(seen_.begin(), seen_.end());
  for (std::size_t i = 0; i < seen_.size();) {
    std::size_t end = i;
    while (end < seen_.size() && seen_[end] == seen_[i]) ++end;
    const std::int32_t id = seen_[i];
    const auto times = static_cast<float>(end - i);
    i = end;
    if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    logit -= options_.presence_penalty + times * options_.frequency_penalty;
  }
}

std::int32_t Sampler::sample(std::span<float> logits, std::span<const std::int32_t> history) {
  const auto limit = static_cast<std::size_t>(std::max(options_.vocab_limit, 0));
  logits = logits.first(std::min(logits.size(), limit));
  GLM_CHECK(!logits.empty());
  for (float& logit : logits) {
    if (std::isnan(logit)) logit = kNever;
  }
  penalize(logits, history);
  for (float& logit : logits) {  // infinities under penalties
    if (std::isnan(logit)) logit = kNever;
  }
  if (!(options_.temperature > 0)) return largest(logits);
  return draw(logits);
}

std::int32_t Sampler::draw(std::span<const float> logits) {
  const float top = logits[static_cast<std::size_t>(largest(logits))];
  if (!std::isfinite(top)) return largest(logits);
  candidates_.clear();
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] > kNever) candidates_.push_back({logits[id], static_cast<std::int32_t>(id)});
  }
  if (options_.top_k > 0) keep_most_likely(static_cast<std::size_t>(options_.top_k));

  weights_.clear();
  double sum = 0;
  const auto temperature = static_cast<double>(options_.temperature);
  const auto weigh = [&](const Candidate& candidate) {
    return std::exp((static_cast<double>(candidate.logit) - static_cast<double>(top)) /
                    temperature);
  };
  for (const Candidate& candidate : candidates_) sum += weigh(candidate);

  if (options_.top_p < 1.0F) {
    // The shortest prefix that holds top_p of the mass is usually a handful of tokens: sort only as
    // far as needed.
    const double wanted = std::max(static_cast<double>(options_.top_p), 0.0) * sum;
    sum = 0;
    std::size_t sorted = 0;
    do {
      if (weights_.size() == sorted) sorted = sort_prefix(sorted);
      weights_.push_back(weigh(candidates_[weights_.size()]));
      sum += weights_.back();
    } while (weights_.size() < candidates_.size() && sum < wanted);
    candidates_.resize(weights_.size());
  }
  if (options_.min_p > 0) {
    std::erase_if(candidates_, [&](const Candidate& candidate) {
      return candidate.logit < top && weigh(candidate) < static_cast<double>(options_.min_p);
    });
  }

  weights_.clear();
  sum = 0;
  for (const Candidate& candidate : candidates_) {
    weights_.push_back(weigh(candidate));
    sum += weights_.back();
  }
  double rest = random_.uniform() * sum;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    rest -= weights_[i];
    if (rest < 0) return candidates_[i].id;
  }
  // Rounding left a crumb: the last candidate that can be drawn at all.
  std::size_t last = weights_.size() - 1;
  while (last > 0 && weights_[last] == 0) --last;
  return candidates_[last].id;
}

// Most likely first; ids break ties, so that the order is the same everywhere.
bool Sampler::before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

void Sampler::keep_most_likely(std::size_t count) {
  count = std::min(count, candidates_.size());
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(candidates_.begin(), end, candidates_.end(), before);
  candidates_.erase(end, candidates_.end());
}

// Sorts some more of the candidates behind the first `sorted`; returns how many are in order now.
std::size_t Sampler::sort_prefix(std::size_t sorted) {
  const std::size_t next = std::min(candidates_.size(), std::max<std::size_t>(64, sorted * 4));
  std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(sorted),
                    candidates_.begin() + static_cast<std::ptrdiff_t>(next), candidates_.end(),
                    before);
  return next;
}

}  // namespace glm::runner
