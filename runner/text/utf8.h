// UTF-8 and the few character classes that tokenizers and templates ask for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace glm::runner {

inline constexpr char32_t kReplacement = 0xFFFD;

// One step through bytes of unknown quality.
struct Utf8Step {
  enum class Kind {
    character,   // well-formed
    ill_formed,  // length_bytes is the maximal part to replace by one U+FFFD
    incomplete,  // a well-formed beginning, cut off by the end of the text
  };
  Kind kind;
  std::uint8_t length_bytes;
  char32_t code_point;  // kReplacement unless a character
};

// At least one byte must be left at `at`.
Utf8Step utf8_step(std::string_view bytes, std::size_t at);

// The character at `at` of well-formed text, and its length.
inline Utf8Step utf8_character(std::string_view text, std::size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {Utf8Step::Kind::character, 1, byte};
  return utf8_step(text, at);
}

void append_utf8(std::string& text, char32_t code_point);

bool is_valid_utf8(std::string_view bytes);

// Where the character that ends before `at` begins; at > 0, text well-formed.
std::size_t previous_character(std::string_view text, std::size_t at);

std::size_t character_count(std::string_view text);

// Unicode White_Space: what \s means in tokenizers' regular expressions.
bool is_white_space(char32_t code_point);

// General categories Nd, Nl, No.
bool is_numeric(char32_t code_point);

// Alphabetic, marks, decimal digits, connector punctuation, join controls: \w as in UTS 18.
bool is_word(char32_t code_point);

}  // namespace glm::runner
