// What happens to the matches of a pattern, and to the text between them.
#pragma once

#include <optional>
#include <string_view>

#include "runner/text/tokenizer/pre_tokenizer.h"
#include "runner/text/tokenizer/regex.h"
#include "runner/text/utf8.h"

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
  PieceMaker(SplitBehavior behavior, const Piece& piece, const PieceSink& sink)
      : behavior_(behavior), piece_(piece), sink_(sink) {}

  void add(Stretch stretch);
  void finish() { flush(); }

 private:
  void emit(Span span);
  void flush();

  SplitBehavior behavior_;
  Piece piece_;
  const PieceSink& sink_;
  Stretch open_{{0, 0}, false};  // may still grow
  bool has_open_ = false;
};

// Cuts at the characters of a class.
template <typename Is>
void split_at(const Piece& piece, SplitBehavior behavior, Is is, const PieceSink& sink) {
  PieceMaker maker(behavior, piece, sink);
  const std::string_view text = piece.text;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    const std::size_t end = at + step.length_bytes;
    if (is(step.code_point)) {
      if (at > done) maker.add({{done, at}, false});
      maker.add({{at, end}, true});
      done = end;
    }
    at = end;
  }
  if (done < text.size()) maker.add({{done, text.size()}, false});
  maker.finish();
}

// "Isolated" and its like; `fallback` where the field is absent.
Result<SplitBehavior> behavior_field(const Json& component, std::optional<SplitBehavior> fallback);

}  // namespace glm::runner::tokenizing
