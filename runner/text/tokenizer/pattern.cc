#include "runner/text/tokenizer/pattern.h"

namespace glm::runner::tokenizing {

Pattern::Scan::Scan(const Pattern& pattern, std::string_view subject)
    : pattern_(pattern), subject_(subject) {
  if (pattern.regex_) regex_.emplace(*pattern.regex_, subject);
}

std::optional<Span> Pattern::Scan::next() {
  if (regex_) return regex_->next();
  const std::string& literal = pattern_.literal_;
  const std::size_t found = subject_.find(literal, at_);
  if (found == std::string_view::npos) return std::nullopt;
  at_ = found + literal.size();
  return Span{found, at_};
}

Result<Pattern> pattern_field(const Json& component) {
  const Json& pattern = member(component, "pattern");
  if (member(pattern, "Regex").is_string()) {
    return Pattern(GLM_TRY(Regex::compile(GLM_TRY(text_field(pattern, "Regex")))));
  }
  if (member(pattern, "String").is_string()) {
    std::string text = GLM_TRY(text_field(pattern, "String"));
    if (text.empty()) return make_error(Errc::corrupt, "pattern is an empty string");
    return Pattern(std::move(text));
  }
  return make_error(Errc::corrupt, "pattern is neither {{\"Regex\": …}} nor {{\"String\": …}}");
}

}  // namespace glm::runner::tokenizing
