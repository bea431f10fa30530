#include "runner/checkpoint/module_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/handle.h"

namespace glm::runner {
namespace {

constexpr std::size_t kPatternMaxBytes = 4096;
constexpr std::uint32_t kMatchLimit = 100'000;
constexpr std::uint32_t kHeapLimitKib = 1024;

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

// What a match needs beside the pattern, made once per thread.
struct Matcher {
  Handle<MatchDataTraits> data{pcre2_match_data_create(1, nullptr)};
  Handle<MatchContextTraits> context{pcre2_match_context_create(nullptr)};

  Matcher() {
    GLM_CHECK(data && context);
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
  }
};

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

struct ModulePattern::Code {
  Handle<CodeTraits> code;
};

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
  int code = 0;
  std::size_t offset = 0;
  auto compiled = std::make_shared<Code>();
  compiled->code = Handle<CodeTraits>(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                    PCRE2_ANCHORED | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
  if (!compiled->code) {
    std::array<PCRE2_UCHAR, 256> reason{};
    pcre2_get_error_message(code, reason.data(), reason.size());
    return make_error(Errc::unsupported, "pattern '{}': {} at offset {}", text,
                      reinterpret_cast<const char*>(reason.data()), offset);
  }
  ModulePattern pattern(Kind::regex, text);
  pattern.code_ = std::move(compiled);
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
  thread_local const Matcher matcher;
  return pcre2_match(code_->code.get(), reinterpret_cast<PCRE2_SPTR>(module.data()), module.size(),
                     0, 0, matcher.data.get(), matcher.context.get()) >= 0;
}

}  // namespace glm::runner
