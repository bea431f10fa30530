#include "cmd/cli/answer_printer.h"

#include <fmt/format.h>

#include "cmd/cli/terminal.h"

namespace glm {
namespace {

constexpr std::string_view kDim = "\x1b[2m", kPlain = "\x1b[0m";

}  // namespace

AnswerPrinter::AnswerPrinter(ThinkingView thinking, NoteView note)
    : thinking_(thinking),
      note_(note),
      content_for_terminal_(stdout_is_terminal()),
      thinking_for_terminal_(stderr_is_terminal()) {}

void AnswerPrinter::note(std::string_view text) {
  if (note_ == NoteView::shown && !text.empty()) say(fmt::format("glm: {}\n", for_terminal(text)));
}

Status AnswerPrinter::thinking(std::string_view text) {
  if (thinking_ == ThinkingView::hidden || text.empty()) return Ok{};
  if (!thinks_) say("Thinking...\n");
  thinks_ = true;
  if (thinking_for_terminal_) {
    say(fmt::format("{}{}{}", kDim, for_terminal(text), kPlain));
  } else {
    say(text);
  }
  return Ok{};
}

void AnswerPrinter::end_thinking() {
  if (!thinks_) return;
  thinks_ = false;
  say("\n...done thinking.\n\n");
}

Status AnswerPrinter::content(std::string_view text) {
  if (text.empty()) return Ok{};
  end_thinking();
  wrote_content_ = true;
  return content_for_terminal_ ? print(for_terminal(text)) : print(text);
}

Status AnswerPrinter::finish() {
  end_thinking();
  if (!wrote_content_) return Ok{};
  wrote_content_ = false;
  return print("\n");
}

}  // namespace glm
