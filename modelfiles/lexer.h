// Words and values of a Modelfile, and errors that point at them. What the words mean is the
// parser's business.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::modelfiles {

// A piece of the text and where it starts, for errors.
struct Piece {
  std::string text;
  std::size_t offset = 0;
};

class Lexer {
 public:
  // Both must outlive the lexer.
  Lexer(std::string_view text, std::string_view file_name);

  // Moves to the next line that says something: skips blank lines and comments (# as the first
  // character of a line). False at the end of the text.
  bool next_line();

  // The next word of the line; empty text at its end.
  Piece word();

  // The rest of the line, trimmed; or what stands between "…"; or what stands between """…""",
  // which may go over many lines and may end in quotes of its own: the last three of a run close.
  // Nothing is escaped. The offset is that of the first character behind the quotes.
  // Errc::invalid_argument: nothing there, no closing quote, text behind it.
  Result<Piece> value(std::string_view instruction);

  // "file:line:column: message\nline\n   ^". Columns count characters, not bytes.
  Error error(std::size_t offset, std::string_view message,
              Errc code = Errc::invalid_argument) const;

  // The 1-based number of the line that offset is on.
  std::size_t line_number(std::size_t offset) const;

 private:
  std::size_t line_end(std::size_t from) const;
  void skip_blanks();
  Status expect_line_end();
  Result<Piece> quoted();
  Result<Piece> triple_quoted();

  std::string_view text_, file_name_;
  std::size_t at_ = 0;
};

}  // namespace glm::modelfiles
