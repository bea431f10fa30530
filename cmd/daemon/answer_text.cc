#include "cmd/daemon/answer_text.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace glm::daemon {
namespace {

// Control tokens a parser needs to see, whether or not the file marks them special.
constexpr std::array<std::string_view, 8> kTags = {"<think>",      "</think>",    "<tool_call>",
                                                   "</tool_call>", "<arg_key>",   "</arg_key>",
                                                   "<arg_value>",  "</arg_value>"};

bool visible(const runner::Tokenizer& tokenizer, std::int32_t id) {
  if (!tokenizer.is_special(id)) return true;
  return std::find(kTags.begin(), kTags.end(), tokenizer.token_of(id)) != kTags.end();
}

bool parses_calls(const TextOptions& options) {
  return !options.plain_text && !options.tools.empty() &&
         options.call_layout != runner::CallLayout::none;
}

}  // namespace

void Delta::append(Delta later) {
  thinking += later.thinking;
  content += later.content;
  tokens += later.tokens;
  std::move(later.tool_pieces.begin(), later.tool_pieces.end(), std::back_inserter(tool_pieces));
  std::move(later.logprobs.begin(), later.logprobs.end(), std::back_inserter(logprobs));
  std::move(later.tool_calls.begin(), later.tool_calls.end(), std::back_inserter(tool_calls));
  if (!later.done_reason.empty()) done_reason = std::move(later.done_reason);
}

AnswerText::AnswerText(const runner::Tokenizer& tokenizer, const TextOptions& options,
                       std::string_view prompt)
    : tokenizer_(tokenizer),
      plain_text_(options.plain_text),
      detokenizer_(tokenizer),
      reasoning_(plain_text_ ? runner::ReasoningStart::content : runner::reasoning_start(prompt),
                 parses_calls(options) ? runner::ReasoningParser::ToolCalls::watch
                                       : runner::ReasoningParser::ToolCalls::ignore),
      stops_(options.stops) {
  if (parses_calls(options)) {
    tools_.emplace(options.tools, runner::ToolParser::UnknownTools::as_text, options.call_layout);
  }
}

void AnswerText::push(std::span<const std::int32_t> ids, Delta& delta) {
  for (const std::int32_t id : ids) {
    ++delta.tokens;
    if (visible(tokenizer_, id)) accept_text(detokenizer_.push(id), delta);
  }
}

void AnswerText::accept_text(const std::string& text, Delta& delta) {
  if (plain_text_) {
    delta.content += stops_.push(text);
  } else {
    accept_pieces(reasoning_.push(text), delta);
  }
}

void AnswerText::accept_pieces(const runner::ReasoningParser::Pieces& pieces, Delta& delta) {
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

void AnswerText::accept_tools(std::vector<runner::ToolEvent> events, Delta& delta) {
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
      case runner::ToolEvent::Kind::call_cut_off:
        delta.tool_calls.push_back({event.index, std::move(event.name), std::move(event.text),
                                    event.kind == runner::ToolEvent::Kind::call_cut_off});
        break;
    }
  }
}

void AnswerText::finish(bool ended_turn, Delta& delta) {
  accept_text(detokenizer_.finish(), delta);
  const bool thinking_to_the_end = !plain_text_ && reasoning_.reasoning();
  if (!plain_text_) accept_pieces(reasoning_.finish(), delta);
  using End = runner::ToolParser::End;
  if (tools_) accept_tools(tools_->finish(ended_turn ? End::turn : End::cut_off), delta);
  // A model that ends its turn without ever closing its thinking has answered in it.
  if (ended_turn && thinking_to_the_end && !said_something_) delta.content += all_thinking_;
  delta.content += stops_.finish();
}

}  // namespace glm::daemon
