// Rewrites text before it is cut: Unicode forms, case, replacements.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

// A stretch of text between added tokens, as it is being rewritten.
struct Passage {
  std::string text;  // well-formed

  // How many of its first bytes stem from the first character of the whole text; 0: it begins
  // somewhere else. Where a space is put before a text, this decides where a text begins.
  std::size_t start_bytes = 0;

  // Rewrites the text by a function that looks at one character after the other.
  template <typename Write>
  void rewrite(Write write) {
    if (start_bytes > 0) {
      const std::size_t start = write(std::string_view(text).substr(0, start_bytes)).size();
      text = write(text);
      start_bytes = start;
    } else {
      text = write(text);
    }
  }
};

// Thread safety: immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(Passage& passage) const = 0;
};

using MadeNormalizer = Result<std::unique_ptr<Normalizer>>;

// Null for a null component. Errc::unsupported names the type.
MadeNormalizer make_normalizer(const Json& component);

// The rows of the table in normalizer.cc.
MadeNormalizer make_lowercase(const Json& component);              // normalize_case.cc
MadeNormalizer make_nfc(const Json& component);                    // normalize_form.cc
MadeNormalizer make_nfd(const Json& component);                    // normalize_form.cc
MadeNormalizer make_nfkc(const Json& component);                   // normalize_form.cc
MadeNormalizer make_nfkd(const Json& component);                   // normalize_form.cc
MadeNormalizer make_strip_accents(const Json& component);          // normalize_form.cc
MadeNormalizer make_replace(const Json& component);                // normalize_replace.cc
MadeNormalizer make_prepend(const Json& component);                // normalize_replace.cc
MadeNormalizer make_strip(const Json& component);                  // normalize_strip.cc
MadeNormalizer make_bert_normalizer(const Json& component);        // normalize_bert.cc
MadeNormalizer make_nmt(const Json& component);                    // normalize_nmt.cc
MadeNormalizer make_precompiled(const Json& component);            // normalize_precompiled.cc
MadeNormalizer make_byte_level_normalizer(const Json& component);  // normalize_byte_level.cc

}  // namespace glm::runner::tokenizing
