// What a token adds to the text.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

// Thread safety: immutable.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::string bytes(std::string_view token) const = 0;
};

// Errc::unsupported names the type; a null component joins tokens with spaces, which no language
// model wants, and is refused with the others.
Result<std::unique_ptr<Decoder>> make_decoder(const Json& component);

}  // namespace glm::runner::tokenizing
