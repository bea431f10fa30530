// Whitespace: words, and runs of what is neither word nor space. WhitespaceSplit: cut at spaces
// only.
#include "runner/text/tokenizer/split.h"

namespace glm::runner::tokenizing {
namespace {

class WhitespaceSplit final : public PreTokenizer {
 public:
  void cut(const Piece& piece, const PieceSink& sink) const override {
    split_at(piece, SplitBehavior::removed, &is_white_space, sink);
  }
};

enum class Kind { space, word, other };

Kind kind_of(char32_t c) {
  if (is_word(c)) return Kind::word;
  return is_white_space(c) ? Kind::space : Kind::other;
}

class Whitespace final : public PreTokenizer {
 public:
  void cut(const Piece& piece, const PieceSink& sink) const override {
    const std::string_view text = piece.text;
    std::size_t first = 0;
    Kind open = Kind::space;
    const auto emit = [&](std::size_t end) {
      if (open == Kind::space || end == first) return;
      sink(piece.part(first, end));
    };
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_character(text, at);
      const Kind kind = kind_of(step.code_point);
      if (kind != open) {
        emit(at);
        first = at;
        open = kind;
      }
      at += step.length_bytes;
    }
    emit(text.size());
  }
};

}  // namespace

MadePreTokenizer make_whitespace(const Json&) {
  return std::make_unique<Whitespace>();
}

MadePreTokenizer make_whitespace_split(const Json&) {
  return std::make_unique<WhitespaceSplit>();
}

}  // namespace glm::runner::tokenizing
