// What happens to the matches of a pattern, and to the text between them.
#pragma once

#include <string_view>

#include "runner/text/tokenizer/pre_tokenizer.h"
#include "runner/text/tokenizer/regex.h"

namespace glm::runner::tokenizing {

enum class SplitBehavior {
  removed,               // matches vanish
  isolated,              // matches are pieces of their own
  merged_with_previous,  // "a-b" by "-": "a-", "b"
  merged_with_next,      // "a", "-b"
  contiguous,            // neighbouring matches are one piece
};

// A stretch of text that is a match, or that is none.
struct Stretch {
  Span span;
  bool match;
};

// Collects stretches in order and emits pieces as the behavior says.
class PieceMaker {
 public:
  PieceMaker(SplitBehavior behavior, std::string_view text, const PieceSink& sink)
      : behavior_(behavior), text_(text), sink_(sink) {}

  void add(Stretch stretch);
  void finish() { flush(); }

 private:
  void emit(Span span);
  void flush();

  SplitBehavior behavior_;
  std::string_view text_;
  const PieceSink& sink_;
  Stretch open_{{0, 0}, false};  // may still grow
  bool has_open_ = false;
};

}  // namespace glm::runner::tokenizing
