// Cuts text into the pieces within which tokens are sought.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

struct Piece {
  std::string_view text;
  std::size_t start_bytes = 0;  // see Passage

  bool at_start() const { return start_bytes > 0; }
  Piece part(std::size_t first, std::size_t end) const {
    return {text.substr(first, end - first), start_bytes > first ? start_bytes - first : 0};
  }
};

using PieceSink = std::function<void(const Piece& piece)>;

// Thread safety: immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;

  // Hands over the pieces in order, none empty; each is valid during its call.
  virtual void cut(const Piece& piece, const PieceSink& sink) const = 0;
};

using MadePreTokenizer = Result<std::unique_ptr<PreTokenizer>>;

// Null for a null component: the text is one piece. Errc::unsupported names the type.
MadePreTokenizer make_pre_tokenizer(const Json& component);

// The rows of the table in pre_tokenizer.cc.
MadePreTokenizer make_bert_pre_tokenizer(const Json& component);  // punctuation.cc
MadePreTokenizer make_byte_level(const Json& component);          // byte_level.cc
MadePreTokenizer make_delimiter_split(const Json& component);     // delimiter.cc
MadePreTokenizer make_digits(const Json& component);              // digits.cc
MadePreTokenizer make_fixed_length(const Json& component);        // fixed_length.cc
MadePreTokenizer make_metaspace(const Json& component);           // metaspace.cc
MadePreTokenizer make_punctuation(const Json& component);         // punctuation.cc
MadePreTokenizer make_split(const Json& component);               // split.cc
MadePreTokenizer make_whitespace(const Json& component);          // whitespace.cc
MadePreTokenizer make_whitespace_split(const Json& component);    // whitespace.cc

}  // namespace glm::runner::tokenizing
