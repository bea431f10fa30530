// Rewrites text before it is cut: Unicode forms, case, replacements.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

// Thread safety: immutable.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string text) const = 0;  // well-formed in, well-formed out
};

// Null for a null component. Errc::unsupported names the type.
Result<std::unique_ptr<Normalizer>> make_normalizer(const Json& component);

}  // namespace glm::runner::tokenizing
