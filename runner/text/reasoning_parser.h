// Separates what a model thinks from what it says, while it speaks.
//
//            <think>                        </think>  (white space after it dropped)
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
  content,           // in the middle of content that the prompt began
  after_reasoning,   // the prompt closed it: content, leading white space dropped
  reasoning,         // the prompt opened it: no <think> will come; leading white space dropped
  inside_reasoning,  // in the middle of a thought that the prompt began
  undecided,         // the model may open it itself: white space, then <think>, or else content
};

// A tag at the end of the prompt decides. Else it looks at what follows the last "<|assistant|>" of
// the prompt (without one: at its last line). The last of <think> and </think> there decides, and
// whether text follows it.
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

  bool decide(Pieces& out);  // false: `waiting_` may still become the first tag
  bool take_tag(Pieces& out);
  void emit(std::string_view text, Pieces& out);
  void enter(State state);

  State state_;
  ToolCalls tool_calls_;
  bool eating_space_ = false;  // right after a tag
  std::string waiting_;        // may become a tag
  std::string space_;          // before it; dropped if a tag ends the thought
};

}  // namespace glm::runner
