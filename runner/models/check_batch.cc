#include "runner/models/check_batch.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "base/check.h"

namespace glm::runner {
namespace {

Status check_biases(const std::vector<TokenBias>& biases) {
  if (biases.size() > kTokenBiasesMax) {
    return make_error(Errc::invalid_argument, "{} biases of logits, wanted at most {}",
                      biases.size(), kTokenBiasesMax);
  }
  for (const TokenBias& bias : biases) {
    if (bias.bias <= std::numeric_limits<float>::max()) continue;  // NaN is not
    return make_error(Errc::invalid_argument, "the bias {} of token {}: wanted a number or -inf",
                      bias.bias, bias.id);
  }
  return Ok{};
}

}  // namespace

BatchCheck::BatchCheck(const ModelFacts& facts, const BatchLimits& limits)
    : facts_(&facts), limits_(limits) {
  caches_.reserve(static_cast<std::size_t>(limits.sequences_max));
}

Status BatchCheck::check_step(const SequenceStep& step) const {
  if (step.continues != step.tokens.empty()) {
    return make_error(
        Errc::invalid_argument, "{}",
        step.continues ? "tokens beside the one that was sampled" : "no tokens to run");
  }
  if (step.continues && step.cache->length() == 0) {
    return make_error(Errc::invalid_argument, "nothing was sampled for a sequence that is empty");
  }
  if (step.continues && step.cache->pages_missing(1) > 0) {
    return make_error(Errc::invalid_argument,
                      "there was no page for the token sampled at position {}",
                      step.cache->length());
  }
  for (const std::int32_t token : step.tokens) {
    if (token >= 0 && token < facts_->vocab_size) continue;
    return make_error(Errc::invalid_argument, "token {} is outside the vocabulary of {}", token,
                      facts_->vocab_size);
  }
  const std::int64_t count = step.count();
  if (count > facts_->context_max - step.cache->length()) {
    return make_error(Errc::invalid_argument, "{} tokens do not fit: the context holds {} of {}",
                      count, step.cache->length(), facts_->context_max);
  }
  return step.sampling == nullptr ? Status(Ok{}) : check_biases(step.sampling->logit_bias);
}

Status BatchCheck::operator()(std::span<const SequenceStep> batch, StepEnd end,
                              std::span<const float> logits) {
  const auto sequences = static_cast<std::int64_t>(batch.size());
  if (sequences < 1 || sequences > limits_.sequences_max) {
    return make_error(Errc::invalid_argument, "a batch of {} sequences, wanted 1 to {}", sequences,
                      limits_.sequences_max);
  }
  const KvPool& pool = batch.front().cache->pool();
  std::int64_t tokens = 0;
  std::int64_t wanted = 0;
  std::int64_t pages = 0;
  caches_.clear();
  for (const SequenceStep& step : batch) {
    GLM_CHECK(&step.cache->pool() == &pool);
    GLM_TRY(check_step(step));
    const std::int64_t count = step.count();
    tokens += count;
    wanted += wants_end(step, end) ? 1 : 0;
    pages += step.cache->pages_missing(count);
    caches_.push_back(step.cache);
  }
  std::sort(caches_.begin(), caches_.end(), std::less<>());
  GLM_CHECK(std::adjacent_find(caches_.begin(), caches_.end()) == caches_.end());
  if (tokens > limits_.tokens_max) {
    return make_error(Errc::invalid_argument, "a batch of {} tokens, wanted at most {}", tokens,
                      limits_.tokens_max);
  }
  if (end == StepEnd::logits &&
      static_cast<std::int64_t>(logits.size()) != wanted * facts_->vocab_size) {
    return make_error(Errc::invalid_argument, "room for {} logits, wanted {}", logits.size(),
                      wanted * facts_->vocab_size);
  }
  if (pages > pool.pages_available()) {
    return make_error(Errc::exhausted, "the batch wants {} pages, {} of {} are free", pages,
                      pool.pages_available(), pool.pages());
  }
  return Ok{};
}

}  // namespace glm::runner
