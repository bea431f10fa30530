// One answer, from token ids to what a client reads: text without half characters, thinking apart
// from content, tool calls as calls, nothing after a stop string.
//
//   runner ─ids─► Detokenizer ─► text ─ReasoningParser─► thinking
//                                              └─ content ─ToolParser─► tool calls
//                                                            └─StopStrings─► content
//
// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cmd/daemon/models.h"
#include "runner/frames.h"
#include "runner/sample/sampling_options.h"
#include "runner/text/reasoning_parser.h"
#include "runner/text/stop_strings.h"
#include "runner/text/tokenizer.h"
#include "runner/text/tool_parser.h"

namespace glm::daemon {

struct GenerationRequest {
  std::string prompt;  // rendered
  runner::EncodeOptions::Specials specials = runner::EncodeOptions::Specials::omit;
  bool plain_text = false;  // no thinking, no tools: every byte is content
  nlohmann::ordered_json tools;
  runner::CallLayout call_layout = runner::CallLayout::none;
  std::vector<std::string> stops;
  std::optional<std::int64_t> tokens_max;  // absent: up to the end of the context
  std::int64_t tokens_min = 0;             // before the model may end its turn
  bool ignore_eos = false;                 // only tokens_max, stops or the context end it
  runner::SamplingOptions sampling;
};

struct ToolCall {
  std::int32_t index = 0;
  std::string name;
  std::string arguments;  // a JSON object as text
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

// What became known since the last one.
struct Delta {
  std::string thinking;
  std::string content;
  std::vector<ToolCallPiece> tool_pieces;  // the same calls,
  std::vector<ToolCall> tool_calls;        // whole
  std::vector<TokenLogprobs> logprobs;     // of all tokens, also those that are no text yet
  std::int64_t tokens = 0;
  bool empty() const {
    return thinking.empty() && content.empty() && tool_pieces.empty() && tool_calls.empty() &&
           logprobs.empty();
  }
  // Adds what came later.
  void append(Delta later);
};

struct GenerationStats {
  std::string done_reason;  // "stop", "length", "tool_calls"
  std::int64_t prompt_tokens = 0;
  std::int64_t tokens = 0;
  std::uint64_t prompt_ns = 0;
  std::uint64_t eval_ns = 0;
};

class Generation {
 public:
  // Hands the request to the runner. The model must outlive the generation. Errc::invalid_argument
  // when the prompt does not fit the context, with both counts.
  static Result<std::unique_ptr<Generation>> start(LoadedModel& model, GenerationRequest request);

  // Cancels what is not finished.
  ~Generation();

  // The next piece that is not empty; nullopt at the end, then stats() holds. `gone` is asked now
  // and then: true cancels with Errc::cancelled.
  Result<std::optional<Delta>> next(const std::function<bool()>& gone);

  const GenerationStats& stats() const { return stats_; }

 private:
  Generation(LoadedModel& model, GenerationRequest request, std::string_view prompt);

  Delta take(const runner::RequestEvent& event);
  void accept_text(std::string text, Delta& delta);
  void accept_pieces(runner::ReasoningParser::Pieces pieces, Delta& delta);
  bool parses_calls() const;
  void accept_tools(std::vector<runner::ToolEvent> events, Delta& delta);
  Delta finish(const runner::RequestEvent& event);

  LoadedModel& model_;
  GenerationRequest request_;
  std::shared_ptr<TokenStream> stream_;
  runner::Detokenizer detokenizer_;
  runner::ReasoningParser reasoning_;
  std::optional<runner::ToolParser> tools_;
  runner::StopStrings stops_;
  std::string all_thinking_;  // becomes the answer when a model never stops thinking
  bool said_something_ = false;
  bool done_ = false;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point first_token_;
  GenerationStats stats_;
};

}  // namespace glm::daemon
