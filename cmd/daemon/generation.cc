#include "cmd/daemon/generation.h"

#include <algorithm>
#include <utility>

namespace glm::daemon {
namespace {

// How often a client is looked after. Hundreds of streams may wait at a time.
constexpr std::chrono::milliseconds kPatience{250};

std::uint64_t ns_between(Clock::Steady from, Clock::Steady to) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

}  // namespace

Generation::Generation(LoadedModel& model, const GenerationRequest& request)
    : model_(model),
      open_(request.answers),
      every_step_(request.every_step),
      started_(std::chrono::steady_clock::now()) {
  for (std::size_t i = 0; i < request.answers; ++i) answers_.emplace_back(model, request);
}

Result<std::unique_ptr<Generation>> Generation::start(LoadedModel& model,
                                                      GenerationRequest request) {
  runner::GenerateRequest ids;
  if (request.prompt_ids.empty()) {
    runner::EncodeOptions encode;
    encode.specials = request.specials;
    ids.prompt = model.text->tokenizer().encode(request.prompt, encode);
  } else {
    ids.prompt = std::move(request.prompt_ids);
  }
  const auto prompt_tokens = static_cast<std::int64_t>(ids.prompt.size());
  const std::int64_t context_max = model.runner->ready().context_max;
  if (prompt_tokens >= context_max) {
    return make_error(Errc::context_length_exceeded,
                      "the prompt has {} tokens, the context of {} holds {} with at least one for "
                      "the answer; shorten the prompt{}",
                      prompt_tokens, model.manifest.name, context_max,
                      context_max < model.text->facts().context_max ? " or raise num_ctx" : "");
  }
  ids.tokens_max = request.tokens_max.value_or(context_max - prompt_tokens);
  ids.tokens_min = request.tokens_min;
  ids.priority = request.priority;
  if (!request.ignore_eos) ids.stop_ids = model.text->facts().eos_ids;
  ids.sampling = request.sampling;
  ids.sampling.vocab_limit = model.text->tokenizer().size();
  std::vector<runner::GenerateRequest> all(request.answers, ids);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (ids.sampling.seed) all[i].sampling.seed = *ids.sampling.seed + i;
  }
  std::unique_ptr<Generation> generation(new Generation(model, request));
  generation->stats_.prompt_tokens = prompt_tokens;
  generation->stream_ = GLM_TRY(model.runner->submit(std::move(all)));
  return generation;
}

Generation::~Generation() {
  if (!stream_) return;
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    if (answers_[i].done) continue;
    model_.runner->cancel(stream_->id(i));
    finish(answers_[i], Finished::abort, std::chrono::steady_clock::now());
  }
}

Result<std::optional<Delta>> Generation::next(const std::function<bool()>& gone) {
  while (open_ > 0) {
    if (time_to_ask() && gone && gone()) {
      return make_error(Errc::cancelled, "the client closed its connection");
    }
    const std::optional<TokenEvent> event = stream_->wait(kPatience);
    if (!event) continue;
    const std::size_t index = stream_->answer(event->event.id);
    if (answers_[index].done) continue;  // under way when it was cancelled
    Delta delta = GLM_TRY(take(index, *event));
    if (!delta.empty() || (every_step_ && delta.tokens > 0)) {
      return std::optional<Delta>(std::move(delta));
    }
  }
  return std::optional<Delta>();
}

// Whether or not tokens come: an answer that is only collected is written to nobody meanwhile.
bool Generation::time_to_ask() {
  const auto now = std::chrono::steady_clock::now();
  if (now - asked_ < kPatience) return false;
  asked_ = now;
  return true;
}

Result<Delta> Generation::take(std::size_t index, const TokenEvent& arrival) {
  const runner::RequestEvent& event = arrival.event;
  Answer& answer = answers_[index];
  Delta delta;
  delta.answer = index;
  answer.meter.tokens(event.tokens.size(), arrival.at);
  if (answer.tokens == 0) answer.first_token = arrival.at;
  answer.text.push(event.tokens, delta);
  for (std::size_t i = 0; i < std::min(event.tokens.size(), event.logprobs.size()); ++i) {
    delta.logprobs.push_back({.id = event.tokens[i], .logprobs = event.logprobs[i]});
  }
  answer.tokens += delta.tokens;
  stats_.tokens += delta.tokens;
  if (index == 0) stats_.cached_tokens = std::max(stats_.cached_tokens, event.cached_tokens);
  if (event.finish == runner::FinishReason::failed) {
    const bool theirs = event.code == Errc::cancelled;
    finish(answer, theirs ? Finished::abort : Finished::error, arrival.at);
    return with_repair_hint(Error{event.code, event.message}, model_.manifest.name);
  }
  if (answer.text.stopped()) {
    model_.runner->cancel(event.id);
    delta.done_reason = "stop";
    stats_.prompt_ns = ns_between(started_, answer.first_token);
    stats_.eval_ns = ns_between(answer.first_token, arrival.at);
  } else if (event.finish != runner::FinishReason::none) {
    const bool ended_turn = event.finish == runner::FinishReason::stop;
    answer.text.finish(ended_turn, delta);
    delta.done_reason = ended_turn ? "stop" : "length";
    if (ended_turn && answer.text.made_calls()) delta.done_reason = "tool_calls";
    stats_.prompt_ns = event.prompt_ns;
    stats_.eval_ns = event.eval_ns;
  }
  if (delta.done_reason.empty()) return delta;
  stats_.done_reason = delta.done_reason;
  finish(answer, delta.done_reason == "length" ? Finished::length : Finished::stop, arrival.at);
  return delta;
}

void Generation::finish(Answer& answer, Finished how, Clock::Steady now) {
  answer.done = true;
  --open_;
  answer.meter.finished(how, now);
}

}  // namespace glm::daemon
