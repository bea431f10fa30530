// NFC, NFD, NFKC, NFKD; and StripAccents, which is only of use after one of the decomposing forms.
#include "runner/text/tokenizer/keep_characters.h"
#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/tokenizer/old_unicode.h"
#include "runner/text/tokenizer/unicode_form.h"

namespace glm::runner::tokenizing {
namespace {

class Form final : public Normalizer {
 public:
  explicit Form(UnicodeForm form) : form_(form) {}
  void apply(Passage& passage) const override {
    passage.rewrite([this](std::string_view text) { return to_form(text, form_); });
  }

 private:
  UnicodeForm form_;
};

class StripAccents final : public Normalizer {
 public:
  void apply(Passage& passage) const override {
    keep_characters(passage, [](char32_t c) { return !is_mark(c); });
  }
};

}  // namespace

MadeNormalizer make_nfc(const Json&) {
  return std::make_unique<Form>(UnicodeForm::nfc);
}
MadeNormalizer make_nfd(const Json&) {
  return std::make_unique<Form>(UnicodeForm::nfd);
}
MadeNormalizer make_nfkc(const Json&) {
  return std::make_unique<Form>(UnicodeForm::nfkc);
}
MadeNormalizer make_nfkd(const Json&) {
  return std::make_unique<Form>(UnicodeForm::nfkd);
}
MadeNormalizer make_strip_accents(const Json&) {
  return std::make_unique<StripAccents>();
}

}  // namespace glm::runner::tokenizing
