#include "runner/text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/handle.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

constexpr std::size_t kPatternMaxBytes = 64 << 10;
constexpr std::uint32_t kMatchLimit = 20'000'000;
constexpr std::uint32_t kHeapLimitKib = 64 << 10;

struct CodeTraits {
  using Raw = pcre2_code*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw code) { pcre2_code_free(code); }
};
struct MatchDataTraits {
  using Raw = pcre2_match_data*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw data) { pcre2_match_data_free(data); }
};
struct MatchContextTraits {
  using Raw = pcre2_match_context*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw context) { pcre2_match_context_free(context); }
};
struct CompileContextTraits {
  using Raw = pcre2_compile_context*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw context) { pcre2_compile_context_free(context); }
};
struct JitStackTraits {
  using Raw = pcre2_jit_stack*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw stack) { pcre2_jit_stack_free(stack); }
};

// What a match writes to; any pattern can share it, since only the whole match is read.
struct Workspace {
  Handle<MatchDataTraits> data{pcre2_match_data_create(1, nullptr)};
  Handle<MatchContextTraits> context{pcre2_match_context_create(nullptr)};
  Handle<JitStackTraits> stack{pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr)};

  Workspace() {
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

Workspace& workspace() {
  thread_local Workspace own;
  return own;
}

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

struct Regex::Code {
  Handle<CodeTraits> handle;
};

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kPatternMaxBytes) {
    return make_error(Errc::exhausted, "a regular expression has {} bytes, at most {} are read",
                      pattern.size(), kPatternMaxBytes);
  }
  const std::string translated = GLM_TRY(from_oniguruma(pattern));
  Handle<CompileContextTraits> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  std::size_t offset = 0;
  auto code = std::make_shared<Code>();
  code->handle = Handle<CodeTraits>(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &offset, context.get()));
  if (!code->handle) {
    std::array<char, 256> reason{};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(reason.data()), reason.size());
    return make_error(Errc::unsupported, "regular expression '{}': {} at offset {}", pattern,
                      reason.data(), offset);
  }
  // Where there is no JIT for the processor, the interpreter gives the same matches.
  (void)pcre2_jit_compile(code->handle.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::move(code));
}

std::optional<Span> Regex::Scan::next() {
  Workspace& space = workspace();
  while (at_ <= subject_.size()) {
    const auto match = [&](std::uint32_t options) {
      return pcre2_match(regex_.code_->handle.get(), reinterpret_cast<PCRE2_SPTR>(subject_.data()),
                         subject_.size(), at_, options | PCRE2_NO_UTF_CHECK, space.data.get(),
                         space.context.get());
    };
    // An empty match is not repeated at the same place.
    const std::uint32_t options = after_empty_ ? PCRE2_NOTEMPTY_ATSTART : 0;
    int found = match(options);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(options | PCRE2_NO_JIT);
    if (found < 0) return std::nullopt;
    const std::size_t* bounds = pcre2_get_ovector_pointer(space.data.get());
    // \K can put the start behind the end or before the search; such a match is none.
    if (bounds[0] < at_ || bounds[1] < bounds[0]) return std::nullopt;
    at_ = bounds[1];
    after_empty_ = bounds[0] == bounds[1];
    return Span{bounds[0], bounds[1]};
  }
  return std::nullopt;
}

}  // namespace glm::runner::tokenizing
