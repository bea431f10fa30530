#include "runner/checkpoint/module_pattern.h"

#include <utility>

namespace glm::runner {
namespace {

constexpr std::size_t kPatternMaxBytes = 4096;
constexpr PatternLimits kLimits{.steps_max = 100'000, .heap_max_kib = 1024};

bool ends_with_part(std::string_view module, std::string_view part) {
  if (!module.ends_with(part)) return false;
  return module.size() == part.size() || module[module.size() - part.size() - 1] == '.';
}

// A wildcard as a regular expression: everything else stands for itself.
std::string regex_of(std::string_view wildcard) {
  std::string out;
  for (std::size_t i = 0; i < wildcard.size(); ++i) {
    const char c = wildcard[i];
    if (c == '*') {
      out += ".*";
    } else if (c == '?') {
      out += '.';
    } else if (const std::size_t end =
                   c == '[' ? wildcard.find(']', i + 2) : std::string_view::npos;
               end != std::string_view::npos) {
      const bool negated = wildcard[i + 1] == '!';
      const std::size_t first = i + (negated ? 2 : 1);
      out += negated ? "[^" : "[";
      for (const char member : wildcard.substr(first, end - first)) {
        if (member == '\\' || member == '^' || member == '[') out += '\\';
        out += member;
      }
      out += ']';
      i = end;
    } else {
      const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
      if (!word) out += '\\';
      out += c;
    }
  }
  return out + "\\z";
}

}  // namespace

ModulePattern ModulePattern::exactly(std::string name) {
  return {Kind::exact, std::move(name)};
}

ModulePattern ModulePattern::within(std::string name) {
  return {Kind::within, std::move(name)};
}

ModulePattern ModulePattern::linear_layers() {
  return {Kind::linear, {}};
}

ModulePattern ModulePattern::piece(std::string text) {
  return {Kind::piece, std::move(text)};
}

ModulePattern ModulePattern::wildcard(std::string text) {
  const bool too_long = text.size() > kPatternMaxBytes;
  if (too_long || text.find_first_of("*?[") == std::string::npos) return exactly(std::move(text));
  Result<ModulePattern> compiled = regex(regex_of(text));
  return compiled.ok() ? std::move(compiled).value() : exactly(std::move(text));
}

Result<ModulePattern> ModulePattern::regex(const std::string& text) {
  if (text.size() > kPatternMaxBytes) {
    return make_error(Errc::unsupported, "a pattern of {} bytes, the limit is {}", text.size(),
                      kPatternMaxBytes);
  }
  ModulePattern pattern(Kind::regex, text);
  pattern.regex_ = GLM_TRY(
      Pattern::compile(text, PatternKind::names, kLimits).with(fmt::format("pattern '{}'", text)));
  return pattern;
}

bool ModulePattern::matches(std::string_view module) const {
  switch (kind_) {
    case Kind::exact:
      return module == text_;
    case Kind::within:
      return module.starts_with(text_) &&
             (module.size() == text_.size() || module[text_.size()] == '.');
    case Kind::linear:
      return !ends_with_part(module, "embed_tokens") && !ends_with_part(module, "mlp.gate") &&
             !module.ends_with("norm");
    case Kind::piece:
      return module.find(text_) != std::string_view::npos ||
             (text_.ends_with('.') &&
              std::string(module).append(".").find(text_) != std::string::npos);
    case Kind::regex:
      break;
  }
  return regex_->find(module).has_value();
}

}  // namespace glm::runner
