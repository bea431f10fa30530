// Lowercase: character by character, as it has no context.
#include <utf8proc.h>

#include "runner/text/tokenizer/lowercase.h"
#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

class Lowercase final : public Normalizer {
 public:
  void apply(Passage& passage) const override { passage.rewrite(&to_lowercase); }
};

}  // namespace

std::string to_lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    if (step.code_point == 0x130) {  // the one letter whose lower case has two characters
      out += "i\u0307";
    } else {
      append_utf8(out, static_cast<char32_t>(
                           utf8proc_tolower(static_cast<utf8proc_int32_t>(step.code_point))));
    }
    at += step.length_bytes;
  }
  return out;
}

MadeNormalizer make_lowercase(const Json&) {
  return std::make_unique<Lowercase>();
}

}  // namespace glm::runner::tokenizing
