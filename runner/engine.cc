#include "runner/engine.h"

#include <algorithm>
#include <cmath>
#include <optional>
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

RequestEvent failure(std::uint64_t id, const Error& error) {
  RequestEvent event;
  event.id = id;
  event.finish = FinishReason::failed;
  event.code = error.code;
  event.message = error.message;
  return event;
}

// A batch has room for a token of everyone and a chunk besides; a lone sequence always fits.
EngineLimits within(const Model& model, const KvPool& pool, EngineLimits limits) {
  const BatchLimits batch = model.batch_limits();
  limits.prompt_chunk_tokens =
      std::clamp<std::int64_t>(limits.prompt_chunk_tokens, 1, batch.tokens_max);
  const std::int64_t running_max =
      std::min(batch.sequences_max, batch.tokens_max - limits.prompt_chunk_tokens + 1);
  limits.running_max = std::min(limits.running_max, static_cast<std::size_t>(running_max));
  limits.context_max = std::min(limits.context_max, pool.pages() * kPageTokens);
  return limits;
}

}  // namespace

Engine::Sequence::Sequence(GenerateRequest asked, KvPool& pool)
    : prompt_tokens(static_cast<std::int64_t>(asked.prompt.size())),
      history(std::move(asked.prompt)),
      request(std::move(asked)),
      cache(pool),
      sampler(request.sampling) {}

Engine::Engine(Model& model, KvPool& pool, EngineLimits limits, Clock& clock)
    : model_(model), pool_(pool), limits_(within(model, pool, limits)), clock_(clock) {
  running_.reserve(limits_.running_max);
  batch_.reserve(limits_.running_max);
  members_.reserve(limits_.running_max);
  logits_.resize(limits_.running_max * static_cast<std::size_t>(model.facts().vocab_size));
}

Status Engine::check_request(const GenerateRequest& request) const {
  const auto prompt_tokens = static_cast<std::int64_t>(request.prompt.size());
  if (prompt_tokens == 0 || prompt_tokens >= limits_.context_max) {
    return make_error(Errc::invalid_argument,
                      "the prompt has {} tokens, the context holds {} with at least one for the "
                      "answer",
                      prompt_tokens, limits_.context_max);
  }
  const std::int64_t vocab = model_.facts().vocab_size;
  for (const std::int32_t token : request.prompt) {
    if (token >= 0 && token < vocab) continue;
    return make_error(Errc::invalid_argument, "token {} is outside the vocabulary of {}", token,
                      vocab);
  }
  if (waiting_.size() >= limits_.waiting_max) {
    return make_error(Errc::exhausted, "{} requests are waiting already; try again later",
                      waiting_.size());
  }
  return Ok{};
}

void Engine::submit(GenerateRequest request) {
  if (Status fits = check_request(request); !fits.ok()) {
    return fail(request.id, std::move(fits).error());
  }
  const std::int64_t room = limits_.context_max - static_cast<std::int64_t>(request.prompt.size());
  request.tokens_max = std::clamp<std::int64_t>(request.tokens_max, 1, room);
  waiting_.emplace_back(std::move(request), pool_);
}

void Engine::cancel(std::uint64_t id) {
  const auto asked = [&](const Sequence& sequence) { return sequence.request.id == id; };
  if (std::erase_if(waiting_, asked) + std::erase_if(running_, asked) == 0) return;
  RequestEvent event;
  event.id = id;
  event.finish = FinishReason::cancelled;
  pending_.push_back(std::move(event));
}

void Engine::fail(std::uint64_t id, Error error) {
  pending_.push_back(failure(id, error));
}

// Takes the pages of all that is known of a sequence at once, so that nobody starts on a prompt
// whose end will not fit; and leaves one for each that runs, so that it is not put back at once.
void Engine::admit() {
  while (!waiting_.empty() && running_.size() < limits_.running_max) {
    Sequence& first = waiting_.front();
    const std::int64_t tokens = first.pending() + 1;
    const auto others = static_cast<std::int64_t>(running_.size());
    if (first.cache.pages_missing(tokens) + others > pool_.pages_free()) return;
    if (!first.cache.reserve(tokens).ok()) return;
    if (!std::exchange(first.admitted_before, true)) first.started = clock_.now();
    running_.push_back(std::move(first));
    waiting_.pop_front();
  }
}

EngineStats Engine::stats() const {
  EngineStats stats = counted_;
  stats.running = static_cast<std::uint32_t>(running_.size());
  stats.waiting = static_cast<std::uint32_t>(waiting_.size());
  stats.pages_total = pool_.pages();
  stats.pages_used = pool_.pages() - pool_.pages_free();
  return stats;
}

std::vector<RequestEvent> Engine::step() {
  admit();
  std::vector<RequestEvent> events = std::exchange(pending_, {});
  plan();
  if (!batch_.empty()) run(events);
  return events;
}

// From the oldest to the youngest; the chunk comes last, so that single tokens lie together.
void Engine::plan() {
  batch_.clear();
  members_.clear();
  std::optional<std::size_t> chunk;
  for (std::size_t index = 0; index < running_.size(); ++index) {
    Sequence& sequence = running_[index];
    if (!sequence.speaks()) {
      if (!chunk) chunk = index;
      continue;
    }
    if (!make_room(index, 1)) break;
    batch_.push_back({.tokens = std::span(sequence.history).last(1),
                      .cache = &sequence.cache,
                      .wants_logits = true});
    members_.push_back(index);
  }
  if (!chunk || *chunk >= running_.size()) return;
  batch_.push_back(chunk_of(running_[*chunk]));
  members_.push_back(*chunk);
}

// Pages for `tokens` more of a running sequence, at the cost of younger ones; false if it was
// itself the youngest and had to go.
bool Engine::make_room(std::size_t index, std::int64_t tokens) {
  while (!running_[index].cache.reserve(tokens).ok()) {
    put_back_youngest();
    if (index == running_.size()) return false;
  }
  return true;
}

void Engine::put_back_youngest() {
  ++counted_.preemptions;
  running_.back().cache.truncate(0);
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
}

// The next tokens of a prompt, or of an answer that is worked off again. Its pages were taken when
// it was admitted. Where the pieces of a prompt end does not depend on who else runs.
SequenceStep Engine::chunk_of(Sequence& sequence) const {
  const std::int64_t done = sequence.cache.length();
  const bool in_prompt = done < sequence.prompt_tokens;
  const std::int64_t left = in_prompt ? sequence.prompt_tokens - done : sequence.pending();
  const std::int64_t count = std::min(left, limits_.prompt_chunk_tokens);
  return {.tokens = std::span(sequence.history)
                        .subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(count)),
          .cache = &sequence.cache,
          .wants_logits = count == sequence.pending(),
          .one_by_one = !in_prompt};
}

void Engine::run(std::vector<RequestEvent>& events) {
  const auto vocab = static_cast<std::size_t>(model_.facts().vocab_size);
  const auto wanted = static_cast<std::size_t>(std::count_if(
      batch_.begin(), batch_.end(), [](const SequenceStep& step) { return step.wants_logits; }));
  const Status ran = model_.forward(batch_, std::span(logits_).first(wanted * vocab));
  if (!ran.ok() && ran.error().code == Errc::device) device_failure_ = ran.error().message;
  std::span<float> rest = logits_;
  std::vector<bool> finished(running_.size());
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    Sequence& sequence = running_[members_[i]];
    if (!ran.ok()) {
      finish(sequence, failure(sequence.request.id, ran.error()), events);
      finished[members_[i]] = true;
    } else if (batch_[i].wants_logits) {
      finished[members_[i]] = take_token(sequence, rest.first(vocab), events);
      rest = rest.subspan(vocab);
    }
  }
  batch_.clear();  // its spans and caches end with the sequences
  std::size_t index = 0;
  std::erase_if(running_, [&](const Sequence&) { return finished[index++]; });
}

// One token more; true when it was the last.
bool Engine::take_token(Sequence& sequence, std::span<float> logits,
                        std::vector<RequestEvent>& events) {
  if (const Status finite = check_finite(logits); !finite.ok()) {
    finish(sequence, failure(sequence.request.id, finite.error()), events);
    return true;
  }
  RequestEvent event;
  event.id = sequence.request.id;
  if (sequence.generated == 0) {
    sequence.first_token = clock_.now();
    counted_.prompt_tokens += static_cast<std::uint64_t>(sequence.prompt_tokens);
  }
  ++counted_.generated_tokens;
  const std::int32_t token = sequence.sampler.sample(logits, sequence.history);
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

Status smoke_test(Model& model, KvPool& pool) {
  constexpr std::int64_t kTokens = 4;
  std::vector<float> logits(static_cast<std::size_t>(model.facts().vocab_size));
  KvCache cache(pool);
  const std::int32_t last_id = std::min<std::int32_t>(model.facts().vocab_size, 64) - 1;
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < kTokens; ++i) tokens.push_back(std::min(i, last_id));
  SamplingOptions greedy;
  greedy.temperature = 0;
  Sampler sampler(greedy);
  for (std::int64_t i = 0; i < kTokens; ++i) {
    GLM_TRY(run_tokens(model, cache, tokens, logits));
    GLM_TRY(check_finite(logits).with("smoke test"));
    tokens = {sampler.sample(logits, {})};
  }
  return Ok{};
}

}  // namespace glm::runner
