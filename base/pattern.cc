#include "base/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "base/handle.h"

namespace glm {
namespace {

constexpr std::size_t kJitStackFirst = 32U << 10U;
constexpr std::size_t kJitStackMax = 8U << 20U;

struct CodeTraits {
  using Raw = pcre2_code*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw code) { pcre2_code_free(code); }
};
struct CompileContextTraits {
  using Raw = pcre2_compile_context*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw context) { pcre2_compile_context_free(context); }
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
struct JitStackTraits {
  using Raw = pcre2_jit_stack*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw stack) { pcre2_jit_stack_free(stack); }
};

// What a match writes to; any pattern can share it, since only the whole match is read.
struct Workspace {
  Handle<MatchDataTraits> data{pcre2_match_data_create(1, nullptr)};
  Handle<MatchContextTraits> context{pcre2_match_context_create(nullptr)};
  Handle<JitStackTraits> stack{pcre2_jit_stack_create(kJitStackFirst, kJitStackMax, nullptr)};

  // Without a stack of its own, machine code has a small one that is always there.
  Workspace() {
    GLM_CHECK(data && context);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

PCRE2_SPTR units(std::string_view text) {
  return reinterpret_cast<PCRE2_SPTR>(text.data());
}

}  // namespace

struct Pattern::Code {
  Handle<CodeTraits> handle;
  std::uint32_t match_options = 0;
};

Result<Pattern> Pattern::compile(std::string_view text, PatternKind kind, PatternLimits limits) {
  const bool unicode = kind == PatternKind::unicode_text;
  const Handle<CompileContextTraits> context(pcre2_compile_context_create(nullptr));
  GLM_CHECK(static_cast<bool>(context));
  if (unicode) pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  std::size_t offset = 0;
  auto code = std::make_shared<Code>();
  code->handle = Handle<CodeTraits>(pcre2_compile(
      units(text), text.size(),
      PCRE2_NEVER_BACKSLASH_C |
          (unicode ? PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE : std::uint32_t{PCRE2_ANCHORED}),
      &error, &offset, context.get()));
  if (!code->handle) {
    std::array<PCRE2_UCHAR, 256> reason{};
    pcre2_get_error_message(error, reason.data(), reason.size());
    return make_error(Errc::unsupported, "{} at offset {}",
                      reinterpret_cast<const char*>(reason.data()), offset);
  }
  if (unicode) {
    code->match_options = PCRE2_NO_UTF_CHECK;
    // Where there is no JIT for the processor, the interpreter gives the same matches.
    (void)pcre2_jit_compile(code->handle.get(), PCRE2_JIT_COMPLETE);
  }
  return Pattern(std::move(code), limits);
}

std::optional<PatternMatch> Pattern::find(std::string_view subject, std::size_t from,
                                          EmptyMatch empty) const {
  thread_local const Workspace space;
  pcre2_set_match_limit(space.context.get(), limits_.steps_max);
  pcre2_set_heap_limit(space.context.get(), limits_.heap_max_kib);
  const std::uint32_t options =
      code_->match_options | (empty == EmptyMatch::not_at_start ? PCRE2_NOTEMPTY_ATSTART : 0U);
  const auto match = [&](std::uint32_t more) {
    return pcre2_match(code_->handle.get(), units(subject), subject.size(), from, options | more,
                       space.data.get(), space.context.get());
  };
  int found = match(0);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);
  if (found < 0) return std::nullopt;
  const std::size_t* bounds = pcre2_get_ovector_pointer(space.data.get());
  // \K can put the start behind the end or before the search; such a match is none.
  if (bounds[0] < from || bounds[1] < bounds[0]) return std::nullopt;
  return PatternMatch{bounds[0], bounds[1]};
}

}  // namespace glm
