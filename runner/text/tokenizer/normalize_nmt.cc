// Nmt: SentencePiece's oldest cleaning; controls vanish, odd white space becomes a space.
#include "runner/text/tokenizer/keep_characters.h"
#include "runner/text/tokenizer/normalizer.h"

namespace glm::runner::tokenizing {
namespace {

bool is_kept(char32_t c) {
  return !((c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
           c == 0x8F || c == 0x9F);
}

bool is_space(char32_t c) {
  return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == kReplacement;
}

class Nmt final : public Normalizer {
 public:
  void apply(Passage& passage) const override {
    keep_characters(passage, &is_kept);
    passage.rewrite([](std::string_view text) {
      std::string out;
      out.reserve(text.size());
      for (std::size_t at = 0; at < text.size();) {
        const Utf8Step step = utf8_character(text, at);
        append_utf8(out, is_space(step.code_point) ? U' ' : step.code_point);
        at += step.length_bytes;
      }
      return out;
    });
  }
};

}  // namespace

MadeNormalizer make_nmt(const Json&) {
  return std::make_unique<Nmt>();
}

}  // namespace glm::runner::tokenizing
