#include "cmd/cli/pasted_text.h"

#include <gtest/gtest.h>

namespace glm {
namespace {

std::string pushed(std::string_view bytes) {
  PastedText text;
  std::string out;
  for (const char byte : bytes) out += text.push(byte);
  return out;
}

TEST(PastedText, LeavesKeysAsTheyAre) {
  for (const std::string_view keys : {"hello\r", "\x03\x04\t\x7f", "\x1b[A\x1b[3~", "\x1b[20~",
                                      "gr\xC3\xBC", "\x1b\x1b[D", "\x1b[201~", "\n\r\n"}) {
    EXPECT_EQ(pushed(keys), keys);
  }
}

TEST(PastedText, HoldsWhatMayBeAMark) {
  PastedText text;
  for (const char byte : {'\x1b', '[', '2', '0'}) EXPECT_EQ(text.push(byte), "");
  EXPECT_EQ(text.push('1'), "\x1b[201");
  EXPECT_EQ(text.push('~'), "~");
}

TEST(PastedText, ShowsNewlinesAndLeavesControlCharactersOut) {
  EXPECT_EQ(pushed("a\x1b[200~b\rc\nd\r\ne\n\nf\x1b[201~\r"),
            "ab\u2424c\u2424d\u2424e\u2424\u2424f\r");
  EXPECT_EQ(pushed("\x1b[200~\tx\x03\x1b[Ay\x7f\x1b\x1b[201~z\x03"), "\tx[Ayz\x03");
  EXPECT_EQ(pushed("\x1b[200~\x1b[200~\xC3\xBC\x1b[201~"), "[200~\xC3\xBC");
}

TEST(PastedText, TurnsNewlinesBack) {
  EXPECT_EQ(PastedText::newlines_of("a\u2424b\u2424\u2424"), "a\nb\n\n");
  EXPECT_EQ(PastedText::newlines_of("none"), "none");
  EXPECT_EQ(PastedText::newlines_of(""), "");
}

}  // namespace
}  // namespace glm
