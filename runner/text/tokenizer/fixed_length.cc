// FixedLength: every so many characters.
#include "runner/text/tokenizer/split.h"

namespace glm::runner::tokenizing {
namespace {

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(std::size_t characters) : characters_(characters) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    const std::string_view text = piece.text;
    std::size_t first = 0;
    std::size_t count = 0;
    const auto emit = [&](std::size_t end) {
      if (end > first) sink(piece.part(first, end));
      first = end;
      count = 0;
    };
    for (std::size_t at = 0; at < text.size(); at += utf8_character(text, at).length_bytes) {
      if (count == characters_) emit(at);
      ++count;
    }
    emit(text.size());
  }

 private:
  std::size_t characters_;
};

}  // namespace

MadePreTokenizer make_fixed_length(const Json& component) {
  const std::size_t length = GLM_TRY(count_field(component, "length", 5));
  if (length == 0) return make_error(Errc::corrupt, "length is 0");
  return std::make_unique<FixedLength>(length);
}

}  // namespace glm::runner::tokenizing
