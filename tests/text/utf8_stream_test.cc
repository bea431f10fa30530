// Property: any cut of any bytes gives the text of the whole, and no push ever ends inside a
// character. The oracle is a slow one, written from the Unicode definition.
#include "runner/text/utf8_stream.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "runner/text/utf8.h"

namespace glm::runner {
namespace {

constexpr const char* kMark = "\xEF\xBF\xBD";

struct Row {
  std::string bytes, text;
};

TEST(Utf8Stream, ReplacesEachMaximalIllFormedPartOnce) {
  const std::string m = kMark;
  const Row rows[] = {
      {"", ""},
      {"plain", "plain"},
      {"h\xC3\xA9llo", "h\xC3\xA9llo"},
      {"\x80", m},
      {"\xC0\xAF", m + m},                  // overlong
      {"\xED\xA0\x80", m + m + m},          // a surrogate
      {"\xF4\x90\x80\x80", m + m + m + m},  // beyond U+10FFFF
      {"\xE2\x82", m},                      // cut off: one
      {"\xE2\x82x", m + "x"},               // interrupted: one
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", m + "\xF0\x9F\x98\x80"},
      {"a\xF1\x80\x80\xE1\x80\xC2 b\x80 c\x80\xBF d",
       "a" + m + m + m + " b" + m + " c" + m + m + " d"},
      {std::string("\0x", 2), std::string("\0x", 2)},
  };
  for (const Row& row : rows) EXPECT_EQ(to_valid_utf8(row.bytes), row.text) << row.bytes;
}

TEST(Utf8Stream, KeepsAnUnfinishedCharacterForTheNextPush) {
  Utf8Stream stream;
  EXPECT_EQ(stream.push("\xF0\x9F"), "");
  EXPECT_EQ(stream.push("\x98"), "");
  EXPECT_EQ(stream.push("\x80!"), "\xF0\x9F\x98\x80!");
  EXPECT_EQ(stream.push("\xE4"), "");
  EXPECT_EQ(stream.finish(), kMark);
  EXPECT_EQ(stream.finish(), "");
}

TEST(Utf8Stream, GivesTheSameTextHoweverTheBytesAreCut) {
  const unsigned seed = 20261121;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string pool[] = {"a",        "\xC3\xA9", "\xE4\xB8\xAD", "\xF0\x9F\x98\x80",
                              "\x80",     "\xF0\x9F", "\xE2\x82",     "\xC3",
                              "\xED\xA0", "\xF4\x90", "\xFF",         "\n"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (auto i = random() % 12; i > 0; --i) bytes += pool[random() % std::size(pool)];
    const std::string whole = to_valid_utf8(bytes);
    EXPECT_TRUE(is_valid_utf8(whole));
    Utf8Stream stream;
    std::string joined;
    for (std::size_t at = 0; at < bytes.size();) {
      const std::size_t size = 1 + random() % 5;
      const std::string piece = stream.push(std::string_view(bytes).substr(at, size));
      EXPECT_TRUE(is_valid_utf8(piece));
      joined += piece;
      at += size;
    }
    EXPECT_EQ(joined + stream.finish(), whole);
  }
}

}  // namespace
}  // namespace glm::runner
