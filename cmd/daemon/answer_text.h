// One answer's text, from token ids to what a client reads: no half characters, thinking apart from
// content, tool calls as calls, nothing after a stop string.
//
//   ids ─► Detokenizer ─► text ─ReasoningParser─► thinking
//                                     └─ content ─ToolParser─► tool calls
//                                                   └─StopStrings─► content
//
// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runner/frames.h"
#include "runner/text/call_layout.h"
#include "runner/text/reasoning_parser.h"
#include "runner/text/stop_strings.h"
#include "runner/text/tokenizer.h"
#include "runner/text/tool_parser.h"

namespace glm::daemon {

struct ToolCall {
  std::int32_t index = 0;
  std::string name;
  std::string arguments;  // a JSON object as text
  bool cut_off = false;   // the beginning of one: no JSON
};

// The next bit of a call that is being made: first its name, then its arguments piece by piece.
struct ToolCallPiece {
  std::int32_t index = 0;
  std::string name;       // empty but for the first
  std::string arguments;  // to be joined
};

// Of one token, where they were asked for.
struct TokenLogprobs {
  std::int32_t id = 0;
  runner::TokenLogprobs logprobs;
};

// What became known of one answer since the last one.
struct Delta {
  std::size_t answer = 0;  // of the question's, from 0
  std::string thinking;
  std::string content;
  std::vector<ToolCallPiece> tool_pieces;  // the same calls,
  std::vector<ToolCall> tool_calls;        // whole
  std::vector<TokenLogprobs> logprobs;     // of all tokens, also those that are no text yet
  std::string done_reason;                 // in the answer's last: "stop", "length", "tool_calls"
  std::int64_t tokens = 0;
  bool empty() const {
    return thinking.empty() && content.empty() && tool_pieces.empty() && tool_calls.empty() &&
           logprobs.empty() && done_reason.empty();
  }
  // Adds what came later of the same answer.
  void append(Delta later);
};

struct TextOptions {
  bool plain_text = false;  // no thinking, no tools: every byte is content
  nlohmann::ordered_json tools;
  runner::CallLayout call_layout = runner::CallLayout::none;
  std::vector<std::string> stops;
};

class AnswerText {
 public:
  // The answer continues `prompt`. The tokenizer must outlive it.
  AnswerText(const runner::Tokenizer& tokenizer, const TextOptions& options,
             std::string_view prompt);

  void push(std::span<const std::int32_t> ids, Delta& delta);

  // A stop string came: nothing more is wanted.
  bool stopped() const { return stops_.stopped(); }

  // The rest. `ended_turn`: the model said that it is done; else it was cut off.
  void finish(bool ended_turn, Delta& delta);

  bool made_calls() const { return tools_ && tools_->calls() > 0; }

 private:
  void accept_text(const std::string& text, Delta& delta);
  void accept_pieces(const runner::ReasoningParser::Pieces& pieces, Delta& delta);
  void accept_tools(std::vector<runner::ToolEvent> events, Delta& delta);

  const runner::Tokenizer& tokenizer_;
  bool plain_text_;
  runner::Detokenizer detokenizer_;
  runner::ReasoningParser reasoning_;
  std::optional<runner::ToolParser> tools_;
  runner::StopStrings stops_;
  std::string all_thinking_;  // becomes the answer when a model never stops thinking
  bool said_something_ = false;
};

}  // namespace glm::daemon
