#include "cmd/daemon/generation.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace glm::daemon {
namespace {

constexpr std::chrono::milliseconds kPatience{100};

// Control tokens a parser needs to see, whether or not the file marks them special.
constexpr std::array<std::string_view, 8> kTags = {"<think>",      "</think>",    "<tool_call>",
                                                   "</tool_call>", "<arg_key>",   "</arg_key>",
                                                   "<arg_value>",  "</arg_value>"};

bool visible(const runner::Tokenizer& tokenizer, std::int32_t id) {
  if (!tokenizer.is_special(id)) return true;
  return std::find(kTags.begin(), kTags.end(), tokenizer.token_of(id)) != kTags.end();
}

std::uint64_t ns_between(std::chrono::steady_clock::time_point from,
                         std::chrono::steady_clock::time_point to) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(to - from).count());
}

}  // namespace

void Delta::append(Delta later) {
  thinking += later.thinking;
  content += later.content;
  tokens += later.tokens;
  std::move(later.tool_pieces.begin(), later.tool_pieces.end(), std::back_inserter(tool_pieces));
  std::move(later.logprobs.begin(), later.logprobs.end(), std::back_inserter(logprobs));
  std::move(later.tool_calls.begin(), later.tool_calls.end(), std::back_inserter(tool_calls));
}

Generation::Generation(LoadedModel& model, GenerationRequest request, std::string_view prompt)
    : model_(model),
      request_(std::move(request)),
      detokenizer_(model.text.tokenizer()),
      reasoning_(
          request_.plain_text ? runner::ReasoningStart::content : runner::reasoning_start(prompt),
          parses_calls() ? runner::ReasoningParser::ToolCalls::watch
                         : runner::ReasoningParser::ToolCalls::ignore),
      stops_(request_.stops) {
  if (parses_calls()) {
    tools_.emplace(request_.tools, runner::ToolParser::UnknownTools::as_text, request_.call_layout);
  }
}

bool Generation::parses_calls() const {
  return !request_.plain_text && !request_.tools.empty() &&
         request_.call_layout != runner::CallLayout::none;
}

Result<std::unique_ptr<Generation>> Generation::start(LoadedModel& model,
                                                      GenerationRequest request) {
  runner::GenerateRequest ids;
  runner::EncodeOptions encode;
  encode.specials = request.specials;
  ids.prompt = model.text.tokenizer().encode(request.prompt, encode);
  const auto prompt_tokens = static_cast<std::int64_t>(ids.prompt.size());
  const std::int64_t context_max = model.link->ready().context_max;
  if (prompt_tokens >= context_max) {
    return make_error(Errc::invalid_argument,
                      "the prompt has {} tokens, the context of {} holds {} with at least one for "
                      "the answer; shorten the prompt or raise num_ctx",
                      prompt_tokens, model.manifest.name, context_max);
  }
  ids.tokens_max = request.tokens_max.value_or(context_max - prompt_tokens);
  if (!request.ignore_eos) ids.stop_ids = model.text.facts().eos_ids;
  ids.tokens_min = request.tokens_min;
  ids.sampling = request.sampling;
  ids.sampling.vocab_limit = model.text.tokenizer().size();
  const std::string prompt = request.prompt;
  std::unique_ptr<Generation> generation(new Generation(model, std::move(request), prompt));
  generation->stats_.prompt_tokens = prompt_tokens;
  generation->started_ = std::chrono::steady_clock::now();
  generation->stream_ = GLM_TRY(model.link->submit(std::move(ids)));
  return generation;
}

Generation::~Generation() {
  if (!done_ && stream_) model_.link->cancel(*stream_);
}

Result<std::optional<Delta>> Generation::next(const std::function<bool()>& gone) {
  while (!done_) {
    const std::optional<runner::RequestEvent> event = stream_->wait(kPatience);
    if (!event) {
      if (gone && gone()) {
        return make_error(Errc::cancelled, "the client closed its connection");
      }
      continue;
    }
    Delta delta = take(*event);
    if (event->finish == runner::FinishReason::failed) {
      done_ = true;
      return Error{event->code, event->message};
    }
    if (stops_.stopped()) {
      model_.link->cancel(*stream_);
      done_ = true;
      stats_.done_reason = "stop";
      stats_.prompt_ns = ns_between(started_, first_token_);
      stats_.eval_ns = ns_between(first_token_, std::chrono::steady_clock::now());
    } else if (event->finish != runner::FinishReason::none) {
      done_ = true;
      delta.append(finish(*event));
    }
    if (!delta.empty()) return std::optional<Delta>(std::move(delta));
    if (gone && gone()) return make_error(Errc::cancelled, "the client closed its connection");
  }
  return std::optional<Delta>();
}

Delta Generation::take(const runner::RequestEvent& event) {
  Delta delta;
  const std::vector<std::int32_t>& tokens = event.tokens;
  for (std::size_t i = 0; i < std::min(tokens.size(), event.logprobs.size()); ++i) {
    delta.logprobs.push_back({.id = tokens[i], .logprobs = event.logprobs[i]});
  }
  const runner::Tokenizer& tokenizer = model_.text.tokenizer();
  if (stats_.tokens == 0 && !tokens.empty()) first_token_ = std::chrono::steady_clock::now();
  for (const std::int32_t id : tokens) {
    ++stats_.tokens;
    ++delta.tokens;
    if (visible(tokenizer, id)) accept_text(detokenizer_.push(id), delta);
  }
  return delta;
}

void Generation::accept_text(std::string text, Delta& delta) {
  if (request_.plain_text) {
    delta.content += stops_.push(text);
  } else {
    accept_pieces(reasoning_.push(text), delta);
  }
}

void Generation::accept_pieces(runner::ReasoningParser::Pieces pieces, Delta& delta) {
  delta.thinking += pieces.thinking;
  all_thinking_ += pieces.thinking;
  if (pieces.content.empty()) return;
  said_something_ = true;
  if (tools_) {
    accept_tools(tools_->push(pieces.content), delta);
  } else {
    delta.content += stops_.push(pieces.content);
  }
}

void Generation::accept_tools(std::vector<runner::ToolEvent> events, Delta& delta) {
  for (runner::ToolEvent& event : events) {
    switch (event.kind) {
      case runner::ToolEvent::Kind::text:
        delta.content += stops_.push(event.text);
        break;
      case runner::ToolEvent::Kind::call_begin:
        delta.tool_pieces.push_back({event.index, std::move(event.name), ""});
        break;
      case runner::ToolEvent::Kind::arguments:
        if (delta.tool_pieces.empty() || delta.tool_pieces.back().index != event.index) {
          delta.tool_pieces.push_back({event.index, "", ""});
        }
        delta.tool_pieces.back().arguments += event.text;
        break;
      case runner::ToolEvent::Kind::call_end:
        delta.tool_calls.push_back({event.index, std::move(event.name), std::move(event.text)});
        break;
    }
  }
}

Delta Generation::finish(const runner::RequestEvent& event) {
  Delta delta;
  accept_text(detokenizer_.finish(), delta);
  const bool thinking_to_the_end = !request_.plain_text && reasoning_.reasoning();
  if (!request_.plain_text) accept_pieces(reasoning_.finish(), delta);
  if (tools_) accept_tools(tools_->finish(), delta);
  const bool stopped = event.finish == runner::FinishReason::stop;
  // A model that ends its turn without ever closing its thinking has answered in it.
  if (stopped && thinking_to_the_end && !said_something_) delta.content += all_thinking_;
  delta.content += stops_.finish();
  stats_.done_reason = stopped ? "stop" : "length";
  if (tools_ && tools_->calls() > 0 && stopped) stats_.done_reason = "tool_calls";
  stats_.prompt_ns = event.prompt_ns;
  stats_.eval_ns = event.eval_ns;
  return delta;
}

}  // namespace glm::daemon
