// The regular expressions of a tokenizer.json, matched by PCRE2 (Unicode, just-in-time compiled).
//
// The files are written for Oniguruma; where the two differ in what tokenizers use (\s, \h, ^, $)
// the pattern is translated, and character-class intersection, which PCRE2 lacks, is refused.
//
// Thread safety: a compiled Regex is immutable; a Scan belongs to one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/pattern.h"
#include "base/result.h"

namespace glm::runner::tokenizing {

struct Span {
  std::size_t first = 0, end = 0;  // bytes
};

class Regex {
 public:
  // Errc::unsupported with PCRE2's reason and the offset.
  static Result<Regex> compile(std::string_view pattern);

  // Successive matches in well-formed UTF-8. A pattern that exhausts the matcher's limits (an
  // exponential one) finds nothing more, so that the rest of the text stays one piece.
  class Scan {
   public:
    Scan(const Regex& regex, std::string_view subject) : regex_(regex), subject_(subject) {}
    std::optional<Span> next();

   private:
    const Regex& regex_;
    std::string_view subject_;
    std::size_t at_ = 0;
    bool after_empty_ = false;
  };

 private:
  explicit Regex(Pattern pattern) : pattern_(std::move(pattern)) {}
  Pattern pattern_;
};

}  // namespace glm::runner::tokenizing
