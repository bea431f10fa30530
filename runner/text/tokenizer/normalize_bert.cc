// BertNormalizer: controls away, ideographs apart, accents off, lower case, each if asked for.
#include "runner/text/tokenizer/keep_characters.h"
#include "runner/text/tokenizer/lowercase.h"
#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/tokenizer/old_unicode.h"
#include "runner/text/tokenizer/unicode_form.h"

namespace glm::runner::tokenizing {
namespace {

struct Flags {
  bool clean_text = true, handle_chinese_chars = true, strip_accents = true, lowercase = true;
};

bool is_ideograph(char32_t c) {
  // The gap in the fifth block is the reference's, and so part of the vocabulary by now.
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_kept(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return true;
  return c != 0 && c != kReplacement && !is_other(c);
}

template <typename Write>
std::string map_characters(std::string_view text, Write write) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    write(out, step.code_point);
    at += step.length_bytes;
  }
  return out;
}

std::string with_plain_spaces(std::string_view text) {
  return map_characters(
      text, [](std::string& out, char32_t c) { append_utf8(out, is_white_space(c) ? U' ' : c); });
}

std::string with_ideographs_apart(std::string_view text) {
  return map_characters(text, [](std::string& out, char32_t c) {
    const bool apart = is_ideograph(c);
    if (apart) out += ' ';
    append_utf8(out, c);
    if (apart) out += ' ';
  });
}

class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(Flags flags) : flags_(flags) {}

  void apply(Passage& passage) const override {
    if (flags_.clean_text) {
      keep_characters(passage, &is_kept);
      passage.rewrite(&with_plain_spaces);
    }
    if (flags_.handle_chinese_chars) passage.rewrite(&with_ideographs_apart);
    if (flags_.strip_accents) {
      passage.rewrite([](std::string_view text) { return to_form(text, UnicodeForm::nfd); });
      keep_characters(passage, [](char32_t c) { return !is_nonspacing_mark(c); });
    }
    if (flags_.lowercase) passage.rewrite(&to_lowercase);
  }

 private:
  Flags flags_;
};

}  // namespace

MadeNormalizer make_bert_normalizer(const Json& component) {
  Flags flags;
  flags.clean_text = GLM_TRY(flag_field(component, "clean_text", true));
  flags.handle_chinese_chars = GLM_TRY(flag_field(component, "handle_chinese_chars", true));
  flags.lowercase = GLM_TRY(flag_field(component, "lowercase", true));
  flags.strip_accents = GLM_TRY(flag_field(component, "strip_accents", flags.lowercase));
  return std::make_unique<BertNormalizer>(flags);
}

}  // namespace glm::runner::tokenizing
