#include "runner/text/tokenizer/pattern.h"

namespace glm::runner::tokenizing {

Result<Regex> pattern_field(const Json& component) {
  const Json& pattern = member(component, "pattern");
  if (member(pattern, "Regex").is_string()) {
    return Regex::compile(GLM_TRY(text_field(pattern, "Regex")));
  }
  if (member(pattern, "String").is_string()) {
    const std::string text = GLM_TRY(text_field(pattern, "String"));
    if (text.empty()) return make_error(Errc::corrupt, "pattern is an empty string");
    return Regex::literal(text);
  }
  return make_error(Errc::corrupt, "pattern is neither {{\"Regex\": …}} nor {{\"String\": …}}");
}

}  // namespace glm::runner::tokenizing
