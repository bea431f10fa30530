// The two streams of a command: the answer on standard output and nothing else there; everything
// said about it on standard error.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

// Columns of the terminal on standard error; 80 when it does not say.
int terminal_width();

// Writes it all at once. A reader that went away (`| head`) ends the program by SIGPIPE, like any
// other filter. Errc::exhausted, internal: a full disk and the like.
Status print(std::string_view text);

// The same to standard error; what cannot be written there is lost.
void say(std::string_view text);

// The same as "glm: warning: …"; nothing when the text is empty.
void warn(std::string_view text);

// Without control characters other than newline and tab: what a model or a server says must not
// move the cursor, change colours or retitle the window.
std::string for_terminal(std::string_view text);

// How many columns the text takes, near enough: its characters.
std::size_t text_width(std::string_view text);

// Errc::invalid_argument, with the offset of the first bad byte, when the text is not UTF-8.
Status check_utf8(std::string_view text, std::string_view what);

// Makes the C library read and show UTF-8, also where no locale is set.
void use_utf8_locale();

}  // namespace glm
