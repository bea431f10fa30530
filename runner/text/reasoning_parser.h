// Separates what a model thinks from what it says, while it speaks.
//
//            <think>                        </think>  (whitespace after it dropped)
//   content ─────────► reasoning ──────────────────────────► content
//      ▲                   │ <tool_call>: models forget </think>
//      └── </tool_call> ── tool call (verbatim; the tool parser's business) ◄── content
//
// The tags <think> and </think> never reach either side; a stray </think> in content and a second
// <think> in reasoning are dropped. The result does not depend on how the text was cut.
//
// Thread safety: one parser belongs to one answer and one thread at a time.
#pragma once

#include <string>
#include <string_view>

namespace glm::runner {

// Where an answer begins, which only the rendered prompt can tell.
enum class ReasoningStart {
  content,          // no thinking tag after the last <|assistant|>, other than below
  after_reasoning,  // the prompt closed it: content, leading whitespace dropped
  reasoning,        // the prompt opened it: no <think> will come
  undecided,        // the model may open it itself: whitespace, then <think>, or else content
};

// Looks at what follows the last "<|assistant|>" of the prompt: the last of <think>, </think>
// decides; neither of them: undecided. A prompt without "<|assistant|>" at all: its last line is
// judged in the same way.
ReasoningStart reasoning_start(std::string_view prompt);

class ReasoningParser {
 public:
  struct Pieces {
    std::string thinking;
    std::string content;  // with <tool_call> regions verbatim
  };

  // Whether <tool_call> means something; it does not when the request has no tools.
  enum class ToolCalls { watch, ignore };

  explicit ReasoningParser(ReasoningStart start, ToolCalls tool_calls = ToolCalls::watch);

  Pieces push(std::string_view text);

  // What was held back as a possible tag. Call once, at the end.
  Pieces finish();

  // Between the tags now. True after finish(): the answer ended without </think>; whether its
  // thinking is then also the answer is the caller's policy (yes at a stop token, no at a limit).
  bool reasoning() const;

 private:
  enum class State { start, content, reasoning, tool_call };

  void take(std::string_view text, Pieces& out);
  void settle(Pieces& out, std::string_view tag);
  void enter(State state);

  State state_;
  ToolCalls tool_calls_;
  bool eating_space_ = false;  // right after a tag
  std::string waiting_;        // whitespace that may turn out to be trailing, then a partial tag
};

}  // namespace glm::runner
