// A regular expression, compiled by PCRE2 and matched within limits: patterns come out of files
// that anybody may have written.
//
// Thread safety: immutable; may be matched from any thread. What a match needs beside the pattern
// is made once per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace glm {

// How text is read. `names`: bytes, matched at the start only, as Python's re.match does it.
// `unicode_text`: UTF-8 with Unicode's classes, ^ and $ at line feeds, compiled to machine code
// where that is possible.
enum class PatternKind : std::uint8_t { names, unicode_text };

struct PatternLimits {
  std::uint32_t steps_max = 0;     // of one match
  std::uint32_t heap_max_kib = 0;  // likewise
};

struct PatternMatch {
  std::size_t first = 0, end = 0;  // bytes
};

enum class EmptyMatch : std::uint8_t { allowed, not_at_start };

class Pattern {
 public:
  // Errc::unsupported: "<PCRE2's reason> at offset 7".
  static Result<Pattern> compile(std::string_view text, PatternKind kind, PatternLimits limits);

  // The first match at or behind byte `from`. None where there is none, or where a limit ends the
  // search. Of unicode_text, the subject must be well-formed UTF-8.
  std::optional<PatternMatch> find(std::string_view subject, std::size_t from = 0,
                                   EmptyMatch empty = EmptyMatch::allowed) const;

 private:
  struct Code;
  Pattern(std::shared_ptr<const Code> code, PatternLimits limits)
      : code_(std::move(code)), limits_(limits) {}

  std::shared_ptr<const Code> code_;
  PatternLimits limits_;
};

}  // namespace glm
