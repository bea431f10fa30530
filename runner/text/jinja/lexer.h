// Cuts a template into text and tokens, and applies whitespace control.
//
// As Jinja does with trim_blocks and lstrip_blocks: one newline after a statement or comment goes;
// so does the white space between the start of a line and a statement or comment; "-" takes all
// white space on its side, "+" keeps it; the template's last newline goes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/text/jinja/position.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

struct Token {
  enum class Kind {
    data,  // template text
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    text,  // a string literal, unescaped
    integer,
    real,
    symbol,  // an operator or bracket
    end,
  };
  Kind kind = Kind::end;
  std::string text;  // the data, name, string or symbol
  Int integer = 0;
  double real = 0;
  Position at;

  bool is_symbol(std::string_view symbol) const { return kind == Kind::symbol && text == symbol; }
  bool is_name(std::string_view name) const { return kind == Kind::name && text == name; }
  std::string describe() const;
};

// The last token is `end`. Errc::invalid_argument with line and column.
Result<std::vector<Token>> tokenize(std::string source);

}  // namespace glm::runner::jinja
