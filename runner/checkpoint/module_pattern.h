// How configurations name modules: by full name, by class, by a piece of the name, by wildcards or
// by a regular expression, each exporter in its own way.
//
// A name is that of the module ("model.layers.3.mlp.gate_proj"), without ".weight".
//
// Thread safety: immutable.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

class ModulePattern {
 public:
  // The whole name.
  static ModulePattern exactly(std::string name);
  // Every linear layer: all matrices but embeddings and routers, which are classes of their own.
  static ModulePattern linear_layers();
  // A piece of the name; one that ends in a dot is meant for names of parameters.
  static ModulePattern piece(std::string text);
  // Shell-style `*`, `?` and `[]` over the whole name, dots included.
  static ModulePattern wildcard(std::string text);
  // Python's re.match: anchored at the start, not at the end. Errc::unsupported for what cannot be
  // compiled, with the offset. A pattern that takes too long on a name does not match it.
  static Result<ModulePattern> regex(const std::string& text);

  bool matches(std::string_view module) const;

 private:
  enum class Kind { exact, linear, piece, regex };
  struct Code;
  ModulePattern(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}

  Kind kind_;
  std::string text_;
  std::shared_ptr<const Code> code_;
};

}  // namespace glm::runner
