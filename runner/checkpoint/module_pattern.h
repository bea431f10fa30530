// How configurations name modules: by full name, by class, by a piece of the name, by wildcards or
// by a regular expression, each exporter in its own way.
//
// A name is that of the module ("model.layers.3.mlp.gate_proj"), without ".weight".
//
// Thread safety: immutable.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/pattern.h"
#include "base/result.h"

namespace glm::runner {

class ModulePattern {
 public:
  // The whole name.
  static ModulePattern exactly(std::string name);
  // The module of that name and those inside it.
  static ModulePattern within(std::string name);
  // Every linear layer: all matrices but embeddings and routers, which are classes of their own.
  static ModulePattern linear_layers();
  // A piece of the name; one that ends in a dot is meant for names of parameters.
  static ModulePattern piece(std::string text);
  // Shell-style `*`, `?` and `[]` over the whole name, dots included. One that is too long for a
  // pattern is taken for a name.
  static ModulePattern wildcard(std::string text);
  // Python's re.match: anchored at the start, not at the end. Errc::unsupported for what cannot be
  // compiled, with the offset. A pattern that takes too long on a name does not match it.
  static Result<ModulePattern> regex(const std::string& text);

  enum class Kind { exact, within, linear, piece, regex };
  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }

  bool matches(std::string_view module) const;

 private:
  ModulePattern(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}

  Kind kind_;
  std::string text_;
  std::optional<Pattern> regex_;  // of Kind::regex
};

}  // namespace glm::runner
