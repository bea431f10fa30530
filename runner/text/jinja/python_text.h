// Values as Python prints them, and Python's ideas of case and white space.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

std::string int_text(Int value);
std::string float_repr(double value);  // "1.0", "1e-05", "inf"

// str(value); undefined is empty. Errc::exhausted: data in circles.
Result<std::string> to_text(const Value& value);

// "&lt;" for "<", and so for & > " '.
std::string escape_html(std::string_view text);
// repr(value)
Result<std::string> to_repr(const Value& value);

bool is_python_space(char32_t c);

std::string lower(std::string_view text);
std::string upper(std::string_view text);
std::string casefold(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);  // Python's: every run of letters

bool is_cased_lower(char32_t c);
bool is_cased_upper(char32_t c);
bool is_letter(char32_t c);
bool is_decimal(char32_t c);

struct StripSides {
  bool left = true, right = true;
};
// With `characters` empty: white space.
std::string_view strip(std::string_view text, std::string_view characters, StripSides sides);

}  // namespace glm::runner::jinja
