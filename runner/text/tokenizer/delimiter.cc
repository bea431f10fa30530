// CharDelimiterSplit: cut at one character, which vanishes.
#include "runner/text/tokenizer/split.h"

namespace glm::runner::tokenizing {
namespace {

class DelimiterSplit final : public PreTokenizer {
 public:
  explicit DelimiterSplit(char32_t delimiter) : delimiter_(delimiter) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    split_at(
        piece, SplitBehavior::removed, [this](char32_t c) { return c == delimiter_; }, sink);
  }

 private:
  char32_t delimiter_;
};

}  // namespace

MadePreTokenizer make_delimiter_split(const Json& component) {
  const std::string delimiter = GLM_TRY(character_field(component, "delimiter"));
  return std::make_unique<DelimiterSplit>(utf8_character(delimiter, 0).code_point);
}

}  // namespace glm::runner::tokenizing
