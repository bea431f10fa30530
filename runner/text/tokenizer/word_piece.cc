// WordPiece: the longest token a word begins with, then the longest that continues it, and so on;
// a word that cannot be written so is unknown as a whole.
#include <algorithm>
#include <string>
#include <utility>

#include "runner/text/tokenizer/model.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

struct Settings {
  std::int32_t unknown = 0;
  std::string prefix;  // of tokens that continue a word
  std::size_t characters_max = 100;
};

class WordPiece final : public TokenModel {
 public:
  WordPiece(Vocabulary vocabulary, Settings settings)
      : vocabulary_(std::move(vocabulary)), settings_(std::move(settings)) {
    for (std::int32_t id = 0; id < vocabulary_.size(); ++id) {
      longest_ = std::max(longest_, vocabulary_.token_of(id).size());
    }
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    const std::size_t before = ids.size();
    std::string sought;
    bool known = character_count(piece) <= settings_.characters_max;
    for (std::size_t at = 0; known && at < piece.size();) {
      sought = at > 0 ? settings_.prefix : "";
      const std::size_t prefix = sought.size();
      sought += piece.substr(at, longest_);
      // What was cut off in the middle of a character is no token either.
      auto id = vocabulary_.id_of(sought);
      while (!id && sought.size() > prefix + 1) {
        sought.resize(std::max(prefix, previous_character(sought, sought.size())));
        if (sought.size() == prefix) break;
        id = vocabulary_.id_of(sought);
      }
      known = id.has_value();
      if (known) ids.push_back(*id);
      at += sought.size() - prefix;
    }
    if (known) return;
    ids.resize(before);
    ids.push_back(settings_.unknown);
  }

 private:
  Vocabulary vocabulary_;
  Settings settings_;
  std::size_t longest_ = 1;
};

}  // namespace

Result<std::int32_t> unknown_token(const Json& component, const Vocabulary& vocabulary) {
  const std::string unknown = GLM_TRY(text_field(component, "unk_token"));
  if (const auto id = vocabulary.id_of(unknown)) return *id;
  return make_error(Errc::corrupt, "unk_token '{}' is not in vocab", unknown);
}

MadeTokenModel make_word_piece(const Json& component) {
  Vocabulary vocabulary;
  GLM_TRY(vocabulary.read(member(component, "vocab")));
  Settings settings;
  settings.unknown = GLM_TRY(unknown_token(component, vocabulary));
  settings.prefix = GLM_TRY(text_field(component, "continuing_subword_prefix"));
  settings.characters_max = GLM_TRY(count_field(component, "max_input_chars_per_word", 100));
  return std::make_unique<WordPiece>(std::move(vocabulary), std::move(settings));
}

}  // namespace glm::runner::tokenizing
