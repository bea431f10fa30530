// ByteLevel: the text as visible characters, one for each byte.
#include "runner/text/tokenizer/byte_alphabet.h"
#include "runner/text/tokenizer/normalizer.h"

namespace glm::runner::tokenizing {
namespace {

class ByteLevelNormalizer final : public Normalizer {
 public:
  void apply(Passage& passage) const override {
    passage.rewrite([](std::string_view text) {
      std::string characters;
      characters.reserve(text.size() * 2);
      append_byte_characters(characters, text);
      return characters;
    });
  }
};

}  // namespace

MadeNormalizer make_byte_level_normalizer(const Json&) {
  return std::make_unique<ByteLevelNormalizer>();
}

}  // namespace glm::runner::tokenizing
