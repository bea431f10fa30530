// A place in a template, for error messages.
#pragma once

#include <string>

#include "base/result.h"

namespace glm::runner::jinja {

struct Position {
  int line = 1;
  int column = 1;  // in characters

  std::string str() const { return fmt::format("line {}, column {}", line, column); }
};

}  // namespace glm::runner::jinja
