#include "runner/text/tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

constexpr bool is_visible(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr char32_t kCharactersEnd = 0x100 + 68;

struct Alphabet {
  std::array<std::array<char, 2>, 256> character{};  // UTF-8; a zero second byte: one byte only
  std::array<std::int16_t, kCharactersEnd> byte{};   // -1: not in the alphabet
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(-1);
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char32_t c = is_visible(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.byte[c] = static_cast<std::int16_t>(byte);
    if (c < 0x80) {
      alphabet.character[byte] = {static_cast<char>(c), 0};
    } else {
      alphabet.character[byte] = {static_cast<char>(0xC0 | (c >> 6)),
                                  static_cast<char>(0x80 | (c & 0x3F))};
    }
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

void append_byte_characters(std::string& text, std::string_view bytes) {
  for (const char byte : bytes) {
    const auto& character = kAlphabet.character[static_cast<unsigned char>(byte)];
    text.push_back(character[0]);
    if (character[1] != 0) text.push_back(character[1]);
  }
}

std::optional<std::string> bytes_of_characters(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text, at);
    if (step.code_point >= kCharactersEnd || kAlphabet.byte[step.code_point] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(kAlphabet.byte[step.code_point]));
    at += step.length_bytes;
  }
  return bytes;
}

}  // namespace glm::runner::tokenizing
