// Input of a terminal in which pasted text is told apart from keys, by xterm's "bracketed paste":
// between kOn and kOff a terminal that knows it puts marks around it.
//
// Of what is pasted newlines, "\r", "\n" or both, come as kNewline, a character that can be seen
// and edited in one line and that newlines_of() turns back; other control characters are left out,
// for as keys they would mean something.
#pragma once

#include <string>
#include <string_view>

namespace glm {

class PastedText {
 public:
  static constexpr std::string_view kOn = "\x1b[?2004h";
  static constexpr std::string_view kOff = "\x1b[?2004l";
  static constexpr std::string_view kNewline = "\u2424";  // SYMBOL FOR NEWLINE

  // What is certain with this byte: nothing while it may belong to a mark.
  std::string push(char byte);

  static std::string newlines_of(std::string_view line);

 private:
  std::string plain(char byte);

  bool pasting_ = false;
  bool after_return_ = false;
  std::size_t matched_ = 0;  // of the next mark
};

}  // namespace glm
