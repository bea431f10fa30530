#include "runner/text/reasoning_parser.h"

#include <algorithm>
#include <span>
#include <utility>

#include "runner/text/tag_text.h"

namespace glm::runner {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kCall = "<tool_call>";
constexpr std::string_view kCallEnd = "</tool_call>";

constexpr std::string_view kTags[] = {kOpen, kClose, kCall};
constexpr std::string_view kThinkTags[] = {kOpen, kClose};
constexpr std::string_view kCallTags[] = {kCallEnd};

bool is_blank(std::string_view text) {
  return text.find_first_not_of(kTagSpace) == std::string_view::npos;
}

}  // namespace

ReasoningStart reasoning_start(std::string_view prompt) {
  constexpr std::string_view kAssistant = "<|assistant|>";
  // Whatever marks a turn: a tag at the very end is meant for the answer.
  const std::size_t body = prompt.find_last_not_of(kTagSpace) + 1;
  if (prompt.substr(0, body).ends_with(kOpen)) return ReasoningStart::reasoning;
  if (prompt.substr(0, body).ends_with(kClose)) return ReasoningStart::after_reasoning;
  const std::size_t turn = prompt.rfind(kAssistant);
  const std::size_t line = prompt.rfind('\n');
  if (turn != std::string_view::npos) {
    prompt.remove_prefix(turn + kAssistant.size());
  } else if (line != std::string_view::npos) {
    prompt.remove_prefix(line + 1);
  }
  const std::size_t open = prompt.rfind(kOpen);
  const std::size_t close = prompt.rfind(kClose);
  if (open == std::string_view::npos && close == std::string_view::npos) {
    const bool began = turn != std::string_view::npos && !is_blank(prompt);
    return began ? ReasoningStart::content : ReasoningStart::undecided;
  }
  const bool closed =
      open == std::string_view::npos || (close != std::string_view::npos && close > open);
  const std::string_view after =
      prompt.substr(closed ? close + kClose.size() : open + kOpen.size());
  if (closed) return is_blank(after) ? ReasoningStart::after_reasoning : ReasoningStart::content;
  return is_blank(after) ? ReasoningStart::reasoning : ReasoningStart::inside_reasoning;
}

ReasoningParser::ReasoningParser(ReasoningStart start, ToolCalls tool_calls)
    : state_(State::content), tool_calls_(tool_calls) {
  switch (start) {
    case ReasoningStart::content:
      break;
    case ReasoningStart::after_reasoning:
      eating_space_ = true;
      break;
    case ReasoningStart::reasoning:
      enter(State::reasoning);
      break;
    case ReasoningStart::inside_reasoning:
      state_ = State::reasoning;
      break;
    case ReasoningStart::undecided:
      state_ = State::start;
      break;
  }
}

void ReasoningParser::enter(State state) {
  state_ = state;
  eating_space_ = true;
  space_.clear();
}

void ReasoningParser::emit(std::string_view text, Pieces& out) {
  if (eating_space_) {
    text.remove_prefix(std::min(text.find_first_not_of(kTagSpace), text.size()));
    if (text.empty()) return;
    eating_space_ = false;
  }
  if (state_ != State::reasoning) {
    out.content += text;
    return;
  }
  const std::size_t body = text.find_last_not_of(kTagSpace) + 1;  // npos + 1 is 0
  if (body > 0) {
    out.thinking.append(space_).append(text.substr(0, body));
    space_.clear();
  }
  space_ += text.substr(body);
}

bool ReasoningParser::decide(Pieces& out) {
  const std::size_t first = std::min(waiting_.find_first_not_of(kTagSpace), waiting_.size());
  space_ += waiting_.substr(0, first);
  waiting_.erase(0, first);
  if (waiting_.starts_with(kOpen)) {
    waiting_.erase(0, kOpen.size());
    enter(State::reasoning);
    return true;
  }
  if (kOpen.starts_with(waiting_)) return false;
  out.content += std::exchange(space_, {});
  state_ = State::content;
  return true;
}

// Handles the first tag in `waiting_`; false: there is none, and what cannot become one is emitted.
bool ReasoningParser::take_tag(Pieces& out) {
  const std::span<const std::string_view> tags =
      state_ == State::tool_call        ? std::span<const std::string_view>(kCallTags)
      : tool_calls_ == ToolCalls::watch ? std::span<const std::string_view>(kTags)
                                        : std::span<const std::string_view>(kThinkTags);
  const FoundTag found = find_tag(waiting_, tags);
  if (found.at == std::string_view::npos) {
    const std::size_t decided = waiting_.size() - unfinished_tag(waiting_, tags);
    emit(std::string_view(waiting_).substr(0, decided), out);
    waiting_.erase(0, decided);
    return false;
  }
  emit(std::string_view(waiting_).substr(0, found.at), out);
  waiting_.erase(0, found.at + found.tag.size());
  if (found.tag == kCallEnd) {
    emit(kCallEnd, out);
    state_ = State::content;
  } else if (found.tag == kCall) {
    enter(State::tool_call);
    emit(kCall, out);
  } else if (found.tag == kClose) {
    enter(State::content);
  } else if (state_ == State::content) {
    enter(State::reasoning);
  }
  return true;
}

ReasoningParser::Pieces ReasoningParser::push(std::string_view text) {
  Pieces out;
  // In small steps, since taking a tag from the front costs the length of what waits.
  constexpr std::size_t kStepBytes = 4096;
  for (std::size_t at = 0; at < text.size(); at += kStepBytes) {
    waiting_ += text.substr(at, kStepBytes);
    while (state_ == State::start ? decide(out) : take_tag(out)) {
    }
  }
  return out;
}

ReasoningParser::Pieces ReasoningParser::finish() {
  Pieces out;
  if (state_ == State::start) {
    out.content += std::exchange(space_, {});
    out.content += std::exchange(waiting_, {});
    return out;
  }
  emit(std::exchange(waiting_, {}), out);
  space_.clear();
  return out;
}

bool ReasoningParser::reasoning() const {
  return state_ == State::reasoning;
}

}  // namespace glm::runner
