// Cuts text into the pieces within which tokens are sought.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

using PieceSink = std::function<void(std::string_view piece)>;

// Thread safety: immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;

  // Hands over the pieces in order, none empty; each is valid during its call.
  virtual void cut(std::string_view text, const PieceSink& sink) const = 0;
};

using MadePreTokenizer = Result<std::unique_ptr<PreTokenizer>>;

// Null for a null component: the text is one piece. Errc::unsupported names the type.
MadePreTokenizer make_pre_tokenizer(const Json& component);

// The rows of the table in pre_tokenizer.cc.
MadePreTokenizer make_byte_level(const Json& component);  // byte_level.cc
MadePreTokenizer make_digits(const Json& component);      // digits.cc
MadePreTokenizer make_split(const Json& component);       // split.cc

}  // namespace glm::runner::tokenizing
