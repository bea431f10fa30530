#include "runner/engine.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace glm::runner {
namespace {

std::uint64_t ns_between(Clock::Steady from, Clock::Steady to) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

Error not_finite() {
  return make_error(Errc::corrupt, "the model computed logits that are not finite");
}

RequestEvent failure(std::uint64_t id, const Error& error) {
  RequestEvent event;
  event.id = id;
  event.finish = FinishReason::failed;
  event.code = error.code;
  event.message = error.message;
  return event;
}

// A batch has room for a token of everyone and a unit of a prompt; a lone sequence always fits.
EngineLimits within(const Model& model, const KvPool& pool, EngineLimits limits) {
  const BatchLimits batch = model.batch_limits();
  limits.prompt_unit_tokens =
      std::clamp<std::int64_t>(limits.prompt_unit_tokens, 1, batch.tokens_max);
  limits.prompt_piece_tokens =
      std::clamp(limits.prompt_piece_tokens, limits.prompt_unit_tokens, batch.tokens_max);
  const std::int64_t running_max =
      std::min(batch.sequences_max, batch.tokens_max - limits.prompt_unit_tokens + 1);
  limits.running_max = std::min(limits.running_max, static_cast<std::size_t>(running_max));
  limits.context_max = std::min(limits.context_max, pool.pages() * kPageTokens);
  limits.prefix_cache = limits.prefix_cache && limits.prompt_unit_tokens % kPageTokens == 0;
  return limits;
}

SchedulerLimits scheduling(const Model& model, const EngineLimits& limits) {
  return {.running_max = static_cast<std::int64_t>(limits.running_max),
          .waiting_max = static_cast<std::int64_t>(limits.waiting_max),
          .step_tokens_max = model.batch_limits().tokens_max,
          .prompt_unit_tokens = limits.prompt_unit_tokens,
          .prompt_piece_tokens = limits.prompt_piece_tokens,
          .context_max = limits.context_max};
}

// The same, and no stop id can be sampled.
SamplingOptions without_stops(const GenerateRequest& request) {
  SamplingOptions options = request.sampling;
  for (const std::int32_t id : request.stop_ids) {
    std::erase_if(options.logit_bias, [&](const TokenBias& bias) { return bias.id == id; });
    options.logit_bias.push_back({.id = id, .bias = -std::numeric_limits<float>::infinity()});
  }
  return options;
}

TokenLogprobs logprobs_of(const Sampled& sampled) {
  TokenLogprobs logprobs{.chosen = sampled.logprob, .top = {}};
  for (std::int32_t i = 0; i < sampled.top_count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    logprobs.top.push_back({.id = sampled.top_ids[index], .logprob = sampled.top_logprobs[index]});
  }
  return logprobs;
}

}  // namespace

EngineLimits engine_limits(const Model& model, bool gpu) {
  const BatchLimits batch = model.batch_limits();
  EngineLimits limits;
  limits.running_max = static_cast<std::size_t>(batch.sequences_max);
  limits.prompt_unit_tokens = kPromptChunkTokens;
  limits.prompt_piece_tokens = kPromptChunkTokens;
  limits.context_max = model.facts().context_max;
  if (!gpu) return limits;
  // A step costs it hardly more for many sequences than for one, it works while the host plans the
  // next, and its results are not the same bits in any company: prompts are cut where it suits.
  limits.prompt_unit_tokens = kPageTokens;
  limits.prompt_piece_tokens = batch.tokens_max;
  limits.steps_ahead = 1;
  return limits;
}

Engine::Engine(Model& model, KvPool& pool, EngineLimits limits, Clock& clock)
    : model_(model),
      pool_(pool),
      limits_(within(model, pool, limits)),
      clock_(clock),
      prefixes_(),
      scheduler_(pool, limits_.prefix_cache ? &prefixes_.emplace(pool, fresh_seed()) : nullptr,
                 scheduling(model, limits_)),
      budget_({.tokens_min = limits_.prompt_unit_tokens,
               .tokens_max = model.batch_limits().tokens_max,
               .step = limits_.step}) {
  batch_.reserve(limits_.running_max);
}

Status Engine::check_request(const GenerateRequest& request) const {
  const std::int64_t vocab = model_.facts().vocab_size;
  for (const std::int32_t token : request.prompt) {
    if (token >= 0 && token < vocab) continue;
    return make_error(Errc::invalid_argument, "token {} is outside the vocabulary of {}", token,
                      vocab);
  }
  for (const TokenBias& bias : request.sampling.logit_bias) {
    if (bias.id >= 0 && bias.id < vocab) continue;
    return make_error(Errc::invalid_argument,
                      "a bias is for token {}, which is outside the vocabulary of {}", bias.id,
                      vocab);
  }
  if (request.stop_ids.size() > kStopIdsMax ||
      request.sampling.logit_bias.size() > kTokenBiasesMax - kStopIdsMax) {
    return make_error(Errc::invalid_argument,
                      "{} stop ids and {} biases of logits, wanted at most {} and {}",
                      request.stop_ids.size(), request.sampling.logit_bias.size(), kStopIdsMax,
                      kTokenBiasesMax - kStopIdsMax);
  }
  return Ok{};
}

void Engine::submit(GenerateRequest request) {
  const std::uint64_t id = request.id;
  Status fits = check_request(request);
  if (fits.ok()) {
    fits = scheduler_.add({.id = id,
                           .prompt = std::move(request.prompt),
                           .tokens_max = request.tokens_max,
                           .priority = request.priority});
  }
  if (!fits.ok()) {
    pending_.push_back(failure(id, fits.error()));
    return;
  }
  Request& here = requests_[id];
  if (!request.sampling.seed) request.sampling.seed = fresh_seed();
  if (request.tokens_min > 0) here.silenced = without_stops(request);
  here.asked = std::move(request);
}

void Engine::cancel(std::uint64_t id) {
  if (!scheduler_.remove(id)) return;
  requests_.erase(id);
  RequestEvent event;
  event.id = id;
  event.finish = FinishReason::cancelled;
  pending_.push_back(std::move(event));
}

EngineStats Engine::stats() const {
  const SchedulerStats scheduled = scheduler_.stats();
  EngineStats stats = counted_;
  stats.running = static_cast<std::uint32_t>(scheduled.running);
  stats.waiting = static_cast<std::uint32_t>(scheduled.waiting);
  stats.pages_total = pool_.pages();
  stats.pages_used = pool_.pages() - pool_.pages_available();
  stats.prefix_queries = scheduled.prefix_queries;
  stats.prefix_hits = scheduled.prefix_hits;
  stats.preemptions = scheduled.preemptions;
  return stats;
}

std::vector<RequestEvent> Engine::step() {
  std::vector<RequestEvent> events = std::exchange(pending_, {});
  const bool submitted = submit_step(events);
  if (in_flight_.size() > (submitted ? limits_.steps_ahead : 0)) collect(events);
  return events;
}

bool Engine::submit_step(std::vector<RequestEvent>& events) {
  const auto step = scheduler_.plan(budget_.tokens(scheduler_.anyone_speaks()));
  if (step.empty()) return false;
  const Clock::Steady now = clock_.now();
  if (in_flight_.empty()) last_step_ = now;
  InFlight flight;
  batch_.clear();
  for (const Work& work : step) {
    Request& request = requests_.at(work.id);
    if (!request.started) request.started = now;
    const bool silent = work.said < request.asked.tokens_min;
    const SamplingOptions& sampling = silent ? request.silenced : request.asked.sampling;
    batch_.push_back({.tokens = work.continues ? std::span<const std::int32_t>() : work.tokens,
                      .cache = work.cache,
                      .one_by_one = work.one_by_one,
                      .continues = work.continues,
                      .sampling = work.samples ? &sampling : nullptr});
    if (work.samples) flight.samples.push_back(work.id);
    if (work.said == 0 || work.one_by_one || work.tokens.size() > 1) {  // not the next of an answer
      flight.prompt_tokens += static_cast<std::int64_t>(work.tokens.size());
    }
  }
  if (const Status ran = model_.submit(batch_); !ran.ok()) {
    if (ran.error().code == Errc::device) {
      fail_device(ran.error(), events);
      return false;
    }
    std::vector<std::uint64_t> failed;
    for (const Work& work : step) failed.push_back(work.id);
    for (const std::uint64_t id : failed) fail(id, ran.error(), events);
    return false;
  }
  scheduler_.ran();
  in_flight_.push_back(std::move(flight));
  return true;
}

void Engine::collect(std::vector<RequestEvent>& events) {
  const InFlight flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  const Result<std::span<const Sampled>> samples = model_.collect();
  if (!samples.ok()) return fail_device(samples.error(), events);
  const Clock::Steady now = clock_.now();
  budget_.measured(flight.prompt_tokens, now - std::exchange(last_step_, now));
  for (std::size_t i = 0; i < flight.samples.size(); ++i) {
    if (requests_.contains(flight.samples[i])) take(flight.samples[i], (*samples)[i], events);
  }
}

// One token more of a request that is still here.
void Engine::take(std::uint64_t id, const Sampled& sample, std::vector<RequestEvent>& events) {
  Request& request = requests_.at(id);
  if (sample.finite != 1) {
    fail(id, not_finite(), events);
    return;
  }
  RequestEvent event;
  event.id = id;
  if (scheduler_.generated(id) == 0) {
    request.first_token = clock_.now();
    event.cached_tokens = scheduler_.prompt_cached(id);
    counted_.prompt_tokens += scheduler_.tokens(id).size();
  }
  ++counted_.generated_tokens;
  const auto& stop_ids = request.asked.stop_ids;
  if (std::find(stop_ids.begin(), stop_ids.end(), sample.id) != stop_ids.end()) {
    events.push_back(std::move(event));
    finish(id, FinishReason::stop, events.back());
    return;
  }
  scheduler_.take(id, sample.id);
  event.tokens.push_back(sample.id);
  if (request.asked.sampling.logprobs >= 0) event.logprobs.push_back(logprobs_of(sample));
  events.push_back(std::move(event));
  if (scheduler_.answered(id)) finish(id, FinishReason::length, events.back());
}

// The request ends with `event`, which says why.
void Engine::finish(std::uint64_t id, FinishReason reason, RequestEvent& event) {
  const Request& request = requests_.at(id);
  const Clock::Steady now = clock_.now();
  const Clock::Steady first = scheduler_.generated(id) > 0 ? request.first_token : now;
  event.id = id;
  event.finish = reason;
  event.prompt_ns = ns_between(request.started.value_or(first), first);
  event.eval_ns = ns_between(first, now);
  if (reason == FinishReason::failed) {
    scheduler_.remove_spoiled(id);
  } else {
    scheduler_.remove(id);
  }
  requests_.erase(id);
}

void Engine::fail(std::uint64_t id, const Error& error, std::vector<RequestEvent>& events) {
  events.push_back(failure(id, error));
  finish(id, FinishReason::failed, events.back());
}

// Nothing that was asked for will be answered any more.
void Engine::fail_device(const Error& error, std::vector<RequestEvent>& events) {
  device_failure_ = error.message;
  in_flight_.clear();
  while (!requests_.empty()) fail(requests_.begin()->first, error, events);
}

}  // namespace glm::runner
