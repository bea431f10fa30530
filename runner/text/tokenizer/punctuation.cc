// Punctuation: cut at punctuation. BertPreTokenizer: at spaces, which vanish, and at punctuation.
#include "runner/text/tokenizer/old_unicode.h"
#include "runner/text/tokenizer/split.h"

namespace glm::runner::tokenizing {
namespace {

class Punctuation final : public PreTokenizer {
 public:
  explicit Punctuation(SplitBehavior behavior) : behavior_(behavior) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    split_at(piece, behavior_, &is_punctuation, sink);
  }

 private:
  SplitBehavior behavior_;
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  void cut(const Piece& piece, const PieceSink& sink) const override {
    split_at(piece, SplitBehavior::removed, &is_white_space, [&](const Piece& word) {
      split_at(word, SplitBehavior::isolated, &is_punctuation, sink);
    });
  }
};

}  // namespace

MadePreTokenizer make_punctuation(const Json& component) {
  return std::make_unique<Punctuation>(GLM_TRY(behavior_field(component, SplitBehavior::isolated)));
}

MadePreTokenizer make_bert_pre_tokenizer(const Json&) {
  return std::make_unique<BertPreTokenizer>();
}

}  // namespace glm::runner::tokenizing
