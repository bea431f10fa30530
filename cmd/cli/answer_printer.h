// Shows an answer while it arrives: its content on standard output, its thinking on standard error.
//
// Thread safety: one thread at a time.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

enum class ThinkingView { shown, hidden };
enum class NoteView { shown, hidden };

class AnswerPrinter {
 public:
  explicit AnswerPrinter(ThinkingView thinking, NoteView note = NoteView::shown);

  // One line on standard error before the answer: where it is computed. Empty: none.
  void note(std::string_view text);

  Status thinking(std::string_view text);
  Status content(std::string_view text);

  // Ends what is open and writes the final newline; also after an answer that was cut short.
  Status finish();

 private:
  void end_thinking();

  const ThinkingView thinking_;
  const NoteView note_;
  const bool content_for_terminal_, thinking_for_terminal_;
  bool thinks_ = false;
  bool wrote_content_ = false;
};

}  // namespace glm
