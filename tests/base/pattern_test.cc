// What tells the two kinds of patterns apart, and that limits end a search instead of the program.
#include "base/pattern.h"

#include <gtest/gtest.h>

#include <string>

namespace glm {
namespace {

constexpr PatternLimits kLimits{.steps_max = 10'000, .heap_max_kib = 1024};

Pattern compiled(std::string_view text, PatternKind kind) {
  return Pattern::compile(text, kind, kLimits).value();
}

TEST(Pattern, MatchesNamesAtTheirStart) {
  const Pattern pattern = compiled("b+", PatternKind::names);
  EXPECT_FALSE(pattern.find("abb"));
  const auto match = pattern.find("bba");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->first, 0U);
  EXPECT_EQ(match->end, 2U);
  EXPECT_TRUE(pattern.find("abb", 1));
}

TEST(Pattern, FindsTextAnywhereByItsCharacters) {
  const Pattern pattern = compiled("\\p{L}$", PatternKind::unicode_text);
  const auto match = pattern.find("1 \u00e4\n2");
  ASSERT_TRUE(match);
  EXPECT_EQ(match->first, 2U);
  EXPECT_EQ(match->end, 4U);
}

TEST(Pattern, SkipsAnEmptyMatchWhereItIsTold) {
  const Pattern pattern = compiled("x*", PatternKind::unicode_text);
  EXPECT_EQ(pattern.find("ax")->end, 0U);
  const auto next = pattern.find("ax", 0, EmptyMatch::not_at_start);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->first, 1U);
  EXPECT_EQ(next->end, 2U);
}

TEST(Pattern, SaysWhereItIsWrong) {
  const auto pattern = Pattern::compile("a(b", PatternKind::names, kLimits);
  ASSERT_FALSE(pattern.ok());
  EXPECT_EQ(pattern.error().code, Errc::unsupported);
  EXPECT_EQ(pattern.error().message, "missing closing parenthesis at offset 3");
}

TEST(Pattern, GivesUpAtItsLimits) {
  const std::string text(64, 'a');
  for (const PatternKind kind : {PatternKind::names, PatternKind::unicode_text}) {
    EXPECT_FALSE(compiled("(a+)+b", kind).find(text));
  }
}

TEST(Pattern, SharesItsThreadsWorkspace) {
  const Pattern letters = compiled("[a-z]+", PatternKind::unicode_text);
  const Pattern digits = compiled("[0-9]+", PatternKind::names);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(letters.find("12ab")->first, 2U);
    EXPECT_EQ(digits.find("12ab")->end, 2U);
  }
}

}  // namespace
}  // namespace glm
