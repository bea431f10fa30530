// The byte-level alphabet: every byte as a visible character, so that vocabularies are text.
//
// Bytes 21-7E, A1-AC and AE-FF stand for themselves; the other 68, in order, for U+0100 onwards
// ("Ġ" is the space, "Ċ" the newline).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace glm::runner::tokenizing {

// Appends the character of every byte.
void append_byte_characters(std::string& text, std::string_view bytes);

// The bytes that the characters stand for; nothing if one of them is not in the alphabet.
std::optional<std::string> bytes_of_characters(std::string_view text);

}  // namespace glm::runner::tokenizing
