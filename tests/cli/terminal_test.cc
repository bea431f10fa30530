#include "cmd/cli/terminal.h"

#include <gtest/gtest.h>

#include <string>

#include "cmd/cli/table.h"

namespace glm {
namespace {

TEST(ForTerminal, DropsWhatWouldMoveTheCursor) {
  EXPECT_EQ(for_terminal("a\tb\n"), "a\tb\n");
  EXPECT_EQ(for_terminal("\x1b]0;title\x07red\x1b[31m\r\x7f"), "]0;titlered[31m");
  EXPECT_EQ(for_terminal("\xC2\x9B"
                         "31m \xC2\xA9 \xC3\xA4"),
            "31m \xC2\xA9 \xC3\xA4");
  EXPECT_EQ(for_terminal(std::string_view("a\0b", 3)), "ab");
  EXPECT_EQ(for_terminal("\xC2"), "\xC2");
}

TEST(CheckUtf8, NamesTheFirstBadByte) {
  EXPECT_TRUE(check_utf8("", "x").ok());
  EXPECT_TRUE(check_utf8("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xF4\x8F\xBF\xBF", "x").ok());
  EXPECT_EQ(check_utf8("ab\xFFz", "the prompt").error().message,
            "the prompt is not UTF-8 text: byte 0xff at offset 2");
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1\x81", "\xC3", "\xE2\x82", "\xE0\x80\x80",
                          "\xED\xA0\x80", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xE2(\xA1", "\xF8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(check_utf8(bad, "x").ok()) << ::testing::PrintToString(bad);
  }
}

TEST(Table, AlignsByCharactersAndEndsLinesClean) {
  EXPECT_EQ(table({{"NAME", "ID"}, {"tiny", "1"}, {"\xC3\xA4\xC3\xB6\xC3\xBC-long", ""}}),
            "NAME        ID\n"
            "tiny        1\n"
            "\xC3\xA4\xC3\xB6\xC3\xBC-long\n");
  EXPECT_EQ(table({{"A"}, {"x\ny\x1b"}}), "A\nx y\n");
  EXPECT_EQ(table({}), "");
}

}  // namespace
}  // namespace glm
