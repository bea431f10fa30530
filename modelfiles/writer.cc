#include "modelfiles/writer.h"

#include <algorithm>
#include <string_view>

namespace glm::modelfiles {
namespace {

constexpr std::string_view kTriple = "\"\"\"";

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// May stand on the line as it is.
bool is_plain(std::string_view value) {
  return !value.empty() && value.front() != '"' && !is_blank(value.front()) &&
         !is_blank(value.back()) && value.find('\n') == std::string_view::npos;
}

// True if the value holds """ that the parser would take for the end: any but the run of quotes
// that the value ends with.
bool closes_early(std::string_view value) {
  while (!value.empty() && value.back() == '"') value.remove_suffix(1);
  return value.find(kTriple) != std::string_view::npos;
}

// The value in the least noisy form that means the same.
Result<std::string> written(std::string_view what, std::string_view value) {
  for (const char c : value) {
    if (c == '\0' || c == '\r') {
      return make_error(Errc::invalid_argument, "{}: a Modelfile cannot hold a {} in a value", what,
                        c == '\0' ? "zero byte" : "carriage return");
    }
  }
  if (is_plain(value)) return std::string(value);
  const bool one_line = value.find('\n') == std::string_view::npos;
  if (one_line && value.find('"') == std::string_view::npos) return fmt::format("\"{}\"", value);
  // """" would be read as the three quotes and the first of the text: also an early end.
  if (closes_early(value)) {
    return make_error(Errc::invalid_argument,
                      "{}: a Modelfile cannot hold \"\"\" inside a value that needs quotes", what);
  }
  return fmt::format("{}{}{}", kTriple, value, kTriple);
}

}  // namespace

Result<std::string> write(const Modelfile& modelfile) {
  if (modelfile.from.empty()) return make_error(Errc::invalid_argument, "FROM is missing");
  std::string text = fmt::format("FROM {}\n", GLM_TRY(written("FROM", modelfile.from)));
  for (const Parameter& parameter : modelfile.parameters) {
    text += fmt::format("PARAMETER {} {}\n", parameter.name,
                        GLM_TRY(written("PARAMETER " + parameter.name, parameter.value)));
  }
  if (!modelfile.template_text.empty()) {
    text += fmt::format("TEMPLATE {}\n", GLM_TRY(written("TEMPLATE", modelfile.template_text)));
  }
  if (!modelfile.system.empty()) {
    text += fmt::format("SYSTEM {}\n", GLM_TRY(written("SYSTEM", modelfile.system)));
  }
  for (const Message& message : modelfile.messages) {
    text += fmt::format("MESSAGE {} {}\n", message.role,
                        GLM_TRY(written("MESSAGE " + message.role, message.content)));
  }
  for (const std::string& license : modelfile.licenses) {
    text += fmt::format("LICENSE {}\n", GLM_TRY(written("LICENSE", license)));
  }
  return text;
}

std::string parameters_text(const Modelfile& modelfile) {
  std::size_t widest = 0;
  for (const Parameter& parameter : modelfile.parameters) {
    widest = std::max(widest, parameter.name.size());
  }
  std::string text;
  for (const Parameter& parameter : modelfile.parameters) {
    text += fmt::format(
        "{:<{}}    {}\n", parameter.name, widest,
        parameter.name == "stop" ? fmt::format("\"{}\"", parameter.value) : parameter.value);
  }
  return text;
}

}  // namespace glm::modelfiles
