// {"String": …} or {"Regex": …}, as Split and Replace carry it under "pattern".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runner/text/tokenizer/json_fields.h"
#include "runner/text/tokenizer/regex.h"

namespace glm::runner::tokenizing {

// Thread safety: immutable; a Scan belongs to one thread.
class Pattern {
 public:
  explicit Pattern(std::string literal) : literal_(std::move(literal)) {}
  explicit Pattern(Regex regex) : regex_(std::move(regex)) {}

  // Successive matches. The pattern and the subject must outlive it.
  class Scan {
   public:
    Scan(const Pattern& pattern, std::string_view subject);
    std::optional<Span> next();

   private:
    const Pattern& pattern_;
    std::string_view subject_;
    std::size_t at_ = 0;
    std::optional<Regex::Scan> regex_;
  };

 private:
  std::string literal_;  // not empty, unless there is a regex_
  std::optional<Regex> regex_;
};

Result<Pattern> pattern_field(const Json& component);

}  // namespace glm::runner::tokenizing
