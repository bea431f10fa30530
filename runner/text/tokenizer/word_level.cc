// WordLevel: a piece is a token, or unknown.
#include <utility>

#include "runner/text/tokenizer/model.h"

namespace glm::runner::tokenizing {
namespace {

class WordLevel final : public TokenModel {
 public:
  WordLevel(Vocabulary vocabulary, std::int32_t unknown)
      : vocabulary_(std::move(vocabulary)), unknown_(unknown) {}

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    ids.push_back(vocabulary_.id_of(piece).value_or(unknown_));
  }

 private:
  Vocabulary vocabulary_;
  std::int32_t unknown_;
};

}  // namespace

MadeTokenModel make_word_level(const Json& component) {
  Vocabulary vocabulary;
  GLM_TRY(vocabulary.read(member(component, "vocab")));
  const std::int32_t unknown = GLM_TRY(unknown_token(component, vocabulary));
  return std::make_unique<WordLevel>(std::move(vocabulary), unknown);
}

}  // namespace glm::runner::tokenizing
