// "▁" for a space, as SentencePiece writes it: what the pre-tokenizer and the decoder of that name
// have in common.
#pragma once

#include <string>

#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

struct MetaspaceSettings {
  enum class Prepend {
    always,  // before every piece that does not begin with one
    first,   // only where the text begins
    never,
  };
  std::string replacement;  // one character
  Prepend prepend = Prepend::always;
  bool split = true;  // whether a "▁" begins a new piece
};

// Understands "add_prefix_space", which is what older files have in place of "prepend_scheme".
Result<MetaspaceSettings> read_metaspace(const Json& component);

}  // namespace glm::runner::tokenizing
