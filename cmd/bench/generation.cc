#include "cmd/bench/generation.h"

#include <algorithm>
#include <chrono>
#include <span>

namespace glm::bench {
namespace {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  }

 private:
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

Generation::Generation(runner::Model& model, runner::KvPool& pool, const GenerationOptions& options)
    : model_(model), pool_(pool), options_(options), random_(options.seed) {}

Result<RowTimes> Generation::run(const RowShape& shape) {
  caches_.clear();
  sampling_.clear();
  for (std::int64_t i = 0; i < shape.sequences; ++i) {
    caches_.emplace_back(pool_);
    sampling_.push_back({.temperature = options_.temperature,
                         .seed = options_.seed + static_cast<std::uint64_t>(i)});
  }
  GLM_TRY(work_off(random_tokens(shape, shape.context), false));
  GLM_TRY(work_off(random_tokens(shape, options_.warm_whole ? shape.prompt : 1), true));
  GLM_TRY(generate(options_.warm_whole ? shape.generate : 1));
  forget(shape.context);

  const std::vector<Tokens> prompts = random_tokens(shape, shape.prompt);
  const Stopwatch prompt;
  GLM_TRY(work_off(prompts, true));
  const double prompt_s = prompt.seconds();
  const Stopwatch generating;
  GLM_TRY(generate(shape.generate));
  const RowTimes times{.prompt_s = prompt_s, .generate_s = generating.seconds()};
  caches_.clear();
  return times;
}

// Drawn evenly, of each sequence its own. A remainder prefers small ids by next to nothing.
std::vector<Generation::Tokens> Generation::random_tokens(const RowShape& shape,
                                                          std::int64_t each) {
  const auto vocabulary = static_cast<std::uint64_t>(model_.facts().vocab_size);
  std::vector<Tokens> all(static_cast<std::size_t>(shape.sequences));
  for (Tokens& tokens : all) {
    for (std::int64_t i = 0; i < each; ++i) {
      tokens.push_back(static_cast<std::int32_t>(random_() % vocabulary));
    }
  }
  return all;
}

// Every step as full as it may be. With `wants_next` the last token of each is followed by one.
Status Generation::work_off(const std::vector<Tokens>& tokens, bool wants_next) {
  const runner::BatchLimits limits = model_.batch_limits();
  std::size_t sequence = 0;
  std::size_t done = 0;  // of its tokens
  while (sequence < tokens.size()) {
    std::vector<runner::SequenceStep> steps;
    auto room = static_cast<std::size_t>(limits.tokens_max);
    while (room > 0 && sequence < tokens.size() &&
           static_cast<std::int64_t>(steps.size()) < limits.sequences_max) {
      const std::span<const std::int32_t> rest = std::span(tokens[sequence]).subspan(done);
      const std::size_t count = std::min(room, rest.size());
      const bool ends = count == rest.size();
      if (count > 0) {
        steps.push_back({.tokens = rest.first(count),
                         .cache = &caches_[sequence],
                         .sampling = ends && wants_next ? &sampling_[sequence] : nullptr});
      }
      room -= count;
      done = ends ? 0 : done + count;
      sequence += ends ? 1 : 0;
    }
    if (!steps.empty()) GLM_TRY(submit(steps));
  }
  return drain();
}

// Each step is asked for before the tokens of the last one are known.
Status Generation::generate(std::int64_t count) {
  std::vector<runner::SequenceStep> steps;
  for (std::size_t i = 0; i < caches_.size(); ++i) {
    steps.push_back({.cache = &caches_[i], .continues = true, .sampling = &sampling_[i]});
  }
  for (std::int64_t i = 0; i < count; ++i) GLM_TRY(submit(steps));
  return drain();
}

Status Generation::submit(const std::vector<runner::SequenceStep>& steps) {
  if (in_flight_ == runner::kStepsInFlightMax) GLM_TRY(collect());
  // The page of the token that follows as well: it is written by this step.
  for (const runner::SequenceStep& step : steps) GLM_TRY(step.cache->reserve(step.count() + 1));
  GLM_TRY(model_.submit(steps));
  ++in_flight_;
  return Ok{};
}

Status Generation::collect() {
  --in_flight_;
  for (const runner::Sampled& sampled : GLM_TRY(model_.collect())) {
    if (sampled.finite == 1) continue;
    return make_error(Errc::internal, "the model computed logits that are not finite");
  }
  return Ok{};
}

Status Generation::drain() {
  while (in_flight_ > 0) GLM_TRY(collect());
  return Ok{};
}

void Generation::forget(std::int64_t from) {
  for (runner::KvCache& cache : caches_) cache.truncate(from);
}

}  // namespace glm::bench
