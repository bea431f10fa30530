#include "runner/engine.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace glm::runner {
namespace {

std::uint64_t ns_between(Clock::Steady from, Clock::Steady to) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

Status check_finite(std::span<const float> logits) {
  if (std::all_of(logits.begin(), logits.end(), [](float x) { return std::isfinite(x); })) {
    return Ok{};
  }
  return make_error(Errc::internal, "the model computed logits that are not finite");
}

}  // namespace

Engine::Engine(Model& model, EngineLimits limits, Clock& clock)
    : model_(model),
      limits_(limits),
      clock_(clock),
      logits_(static_cast<std::size_t>(model.facts().vocab_size)) {}

void Engine::submit(GenerateRequest request) {
  const auto prompt_tokens = static_cast<std::int64_t>(request.prompt.size());
  if (prompt_tokens == 0 || prompt_tokens >= limits_.context_max) {
    return fail(request.id, make_error(Errc::invalid_argument,
                                       "the prompt has {} tokens, the context holds {} with at "
                                       "least one for the answer",
                                       prompt_tokens, limits_.context_max));
  }
  if (waiting_.size() >= limits_.waiting_max) {
    return fail(request.id, make_error(Errc::exhausted,
                                       "{} requests are waiting already; try again later",
                                       waiting_.size()));
  }
  const std::int64_t room = limits_.context_max - prompt_tokens;
  request.tokens_max = std::clamp<std::int64_t>(request.tokens_max, 1, room);
  waiting_.push_back(std::move(request));
}

void Engine::cancel(std::uint64_t id) {
  const auto cancelled = [&](std::uint64_t which) {
    RequestEvent event;
    event.id = which;
    event.finish = FinishReason::cancelled;
    pending_.push_back(std::move(event));
  };
  if (std::erase_if(waiting_, [&](const GenerateRequest& r) { return r.id == id; }) > 0 ||
      std::erase_if(running_, [&](const Sequence& s) { return s.request.id == id; }) > 0) {
    cancelled(id);
  }
}

void Engine::fail(std::uint64_t id, Error error) {
  RequestEvent event;
  event.id = id;
  event.finish = FinishReason::failed;
  event.code = error.code;
  event.message = std::move(error.message);
  pending_.push_back(std::move(event));
}

void Engine::admit() {
  while (!waiting_.empty() && running_.size() < limits_.running_max) {
    GenerateRequest request = std::move(waiting_.front());
    waiting_.pop_front();
    auto cache = model_.make_cache(static_cast<std::int64_t>(request.prompt.size()) +
                                   request.tokens_max);
    if (!cache.ok()) {
      // With others running there will be memory when they end.
      if (cache.error().code == Errc::exhausted && !running_.empty()) {
        waiting_.push_front(std::move(request));
        return;
      }
      fail(request.id, std::move(cache).error());
      continue;
    }
    Sequence sequence;
    sequence.cache = *std::move(cache);
    sequence.sampler = std::make_unique<Sampler>(request.sampling);
    sequence.history = request.prompt;
    sequence.request = std::move(request);
    sequence.started = clock_.now();
    running_.push_back(std::move(sequence));
  }
}

std::vector<RequestEvent> Engine::step() {
  admit();
  std::vector<RequestEvent> events = std::exchange(pending_, {});
  chunk_spent_ = false;
  std::vector<Sequence> still_running;
  still_running.reserve(running_.size());
  for (Sequence& sequence : running_) {
    if (!advance(sequence, events)) still_running.push_back(std::move(sequence));
  }
  running_ = std::move(still_running);
  return events;
}

Status Engine::prefill(Sequence& sequence) {
  const auto& prompt = sequence.request.prompt;
  const std::int64_t left = static_cast<std::int64_t>(prompt.size()) - sequence.prefilled;
  const std::int64_t count = std::min(left, limits_.prompt_chunk_tokens);
  const std::span<const std::int32_t> chunk(prompt.data() + sequence.prefilled,
                                            static_cast<std::size_t>(count));
  const std::span<float> logits = count == left ? std::span<float>(logits_) : std::span<float>();
  GLM_TRY(model_.forward(chunk, *sequence.cache, logits));
  sequence.prefilled += count;
  return Ok{};
}

bool Engine::advance(Sequence& sequence, std::vector<RequestEvent>& events) {
  RequestEvent event;
  event.id = sequence.request.id;
  Status done = Ok{};
  if (sequence.generated == 0) {
    if (chunk_spent_) return false;
    chunk_spent_ = true;
    done = prefill(sequence);
    if (done.ok() &&
        sequence.prefilled < static_cast<std::int64_t>(sequence.request.prompt.size())) {
      return false;
    }
    sequence.first_token = clock_.now();
  } else {
    done = model_.forward({&sequence.history.back(), 1}, *sequence.cache, logits_);
  }
  if (done.ok()) done = check_finite(logits_);
  if (!done.ok()) {
    event.finish = FinishReason::failed;
    event.code = done.error().code;
    event.message = done.error().message;
    finish(sequence, std::move(event), events);
    return true;
  }
  const std::int32_t token = sequence.sampler->sample(logits_, sequence.history);
  ++sequence.generated;
  const auto& stop_ids = sequence.request.stop_ids;
  if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
    event.finish = FinishReason::stop;
    finish(sequence, std::move(event), events);
    return true;
  }
  sequence.history.push_back(token);
  event.tokens.push_back(token);
  if (sequence.generated >= sequence.request.tokens_max) {
    event.finish = FinishReason::length;
    finish(sequence, std::move(event), events);
    return true;
  }
  events.push_back(std::move(event));
  return false;
}

void Engine::finish(const Sequence& sequence, RequestEvent event,
                    std::vector<RequestEvent>& events) {
  const Clock::Steady now = clock_.now();
  const Clock::Steady first = sequence.generated > 0 ? sequence.first_token : now;
  event.prompt_ns = ns_between(sequence.started, first);
  event.eval_ns = ns_between(first, now);
  events.push_back(std::move(event));
}

Status smoke_test(Model& model) {
  constexpr std::int64_t kTokens = 4;
  std::vector<float> logits(static_cast<std::size_t>(model.facts().vocab_size));
  const std::unique_ptr<KvCache> cache = GLM_TRY(model.make_cache(2 * kTokens));
  const std::int32_t last_id = std::min<std::int32_t>(model.facts().vocab_size, 64) - 1;
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < kTokens; ++i) tokens.push_back(std::min(i, last_id));
  SamplingOptions greedy;
  greedy.temperature = 0;
  Sampler sampler(greedy);
  for (std::int64_t i = 0; i < kTokens; ++i) {
    GLM_TRY(model.forward(tokens, *cache, logits));
    GLM_TRY(check_finite(logits).with("smoke test"));
    tokens = {sampler.sample(logits, {})};
  }
  return Ok{};
}

}  // namespace glm::runner
