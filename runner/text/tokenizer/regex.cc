#include "runner/text/tokenizer/regex.h"

#include <utility>

#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

constexpr std::size_t kPatternMaxBytes = 64 << 10;
constexpr PatternLimits kLimits{.steps_max = 20'000'000, .heap_max_kib = 64 << 10};

// PCRE2's \s also has U+180E, which lost the property in Unicode 6.3.
constexpr std::string_view kSpaces =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kHexDigits = "0-9A-Fa-f";

// What an escape stands for as the inside of a class; empty: the same in both dialects.
std::string_view class_of(char escape) {
  switch (escape) {
    case 's':
    case 'S':
      return kSpaces;
    case 'h':
    case 'H':
      return kHexDigits;
    default:
      return {};
  }
}

Result<std::string> from_oniguruma(std::string_view pattern) {
  std::string out;
  int class_depth = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escape = pattern[++i];
      const std::string_view members = class_of(escape);
      const bool negated = escape == 'S' || escape == 'H';
      if (members.empty() || (class_depth > 0 && negated)) {
        out.append({c, escape});
      } else if (class_depth > 0) {
        out += members;
      } else {
        out.append(negated ? "[^" : "[").append(members).append("]");
      }
      continue;
    }
    if (class_depth == 0) {
      if (c == '[') class_depth = 1;
    } else if (c == '[') {
      if (i + 1 >= pattern.size() || pattern[i + 1] != ':') {
        return make_error(Errc::unsupported,
                          "regular expression '{}': a class inside a class at offset {}", pattern,
                          i);
      }
      const std::size_t end = pattern.find(":]", i);
      if (end == std::string_view::npos) {
        return make_error(Errc::unsupported, "regular expression '{}': [: without :]", pattern);
      }
      out += pattern.substr(i, end + 2 - i);
      i = end + 1;
      continue;
    } else if (c == '&' && i + 1 < pattern.size() && pattern[i + 1] == '&') {
      return make_error(Errc::unsupported,
                        "regular expression '{}': class intersection && at offset {}", pattern, i);
    } else if (c == ']') {
      class_depth = 0;
    }
    out.push_back(c);
  }
  return out;
}

}  // namespace

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kPatternMaxBytes) {
    return make_error(Errc::exhausted, "a regular expression has {} bytes, at most {} are read",
                      pattern.size(), kPatternMaxBytes);
  }
  const std::string translated = GLM_TRY(from_oniguruma(pattern));
  return Regex(GLM_TRY(Pattern::compile(translated, PatternKind::unicode_text, kLimits)
                           .with(fmt::format("regular expression '{}'", pattern))));
}

std::optional<Span> Regex::Scan::next() {
  if (at_ > subject_.size()) return std::nullopt;
  // An empty match is not repeated at the same place.
  const std::optional<PatternMatch> match = regex_.pattern_.find(
      subject_, at_, after_empty_ ? EmptyMatch::not_at_start : EmptyMatch::allowed);
  if (!match) return std::nullopt;
  at_ = match->end;
  after_empty_ = match->first == match->end;
  return Span{match->first, match->end};
}

}  // namespace glm::runner::tokenizing
