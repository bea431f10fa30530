#include "modelfiles/parser.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace glm::modelfiles {
namespace {

Modelfile parsed(std::string_view text) {
  auto result = parse(text, "m");
  EXPECT_TRUE(result.ok()) << result.error().message;
  return result.ok() ? *std::move(result) : Modelfile{};
}

TEST(ModelfileParser, ReadsEveryInstruction) {
  const Modelfile m = parsed(
      "# a pirate\n"
      "FROM org/model@main\n"
      "\n"
      "PARAMETER temperature 0.7\n"
      "PARAMETER stop \"<|user|>\"\n"
      "PARAMETER stop Arr!  \n"
      "TEMPLATE \"{{ messages[0].content }}\"\n"
      "SYSTEM You are a pirate. # not a comment\n"
      "MESSAGE user hello\n"
      "MESSAGE assistant \"ahoy\"\n"
      "LICENSE MIT\n"
      "LICENSE \"\"\"Second\n"
      "one\"\"\"\n");
  EXPECT_EQ(m.from, "org/model@main");
  EXPECT_EQ(m.parameters, (std::vector<Parameter>{
                              {"temperature", "0.7"}, {"stop", "<|user|>"}, {"stop", "Arr!"}}));
  EXPECT_EQ(m.template_text, "{{ messages[0].content }}");
  EXPECT_EQ(m.system, "You are a pirate. # not a comment");
  EXPECT_EQ(m.messages, (std::vector<Message>{{"user", "hello"}, {"assistant", "ahoy"}}));
  EXPECT_EQ(m.licenses, (std::vector<std::string>{"MIT", "Second\none"}));
}

TEST(ModelfileParser, DoesNotMindCaseOrderOrIndentation) {
  const Modelfile m = parsed("  system\tbe brief\n\tFrom   tiny:int4  \n   # the end\n");
  EXPECT_EQ(m.from, "tiny:int4");
  EXPECT_EQ(m.system, "be brief");
}

TEST(ModelfileParser, ReadsWindowsFilesAndAMarkAtTheBeginning) {
  const Modelfile m =
      parsed("\xEF\xBB\xBF# mark\r\nFROM tiny\r\n\r\nSYSTEM \"\"\"one\r\ntwo\"\"\"\r\n");
  EXPECT_EQ(m.from, "tiny");
  EXPECT_EQ(m.system, "one\ntwo");
}

struct ValueCase {
  const char* name;
  std::string_view written;
  std::string_view want;
};

void PrintTo(const ValueCase& test, std::ostream* out) {
  *out << test.name;
}

class ModelfileValues : public testing::TestWithParam<ValueCase> {};

TEST_P(ModelfileValues, AreReadAsMeant) {
  for (const char* end : {"", "\n", "  \t \n", "\n# more\n"}) {
    const std::string text = "FROM tiny\nSYSTEM " + std::string(GetParam().written) + end;
    EXPECT_EQ(parsed(text).system, GetParam().want) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ModelfileValues,
    testing::Values(ValueCase{"plain", "be brief", "be brief"},
                    ValueCase{"quote_inside", "say \"hi\"", "say \"hi\""},
                    ValueCase{"quoted", "\"  spaces stay \"", "  spaces stay "},
                    ValueCase{"empty", "\"\"", ""}, ValueCase{"empty_triple", "\"\"\"\"\"\"", ""},
                    ValueCase{"triple_lines", "\"\"\"\na\n b\n\"\"\"", "\na\n b\n"},
                    ValueCase{"triple_with_quotes", "\"\"\"say \"hi\" \"\" now\"\"\"",
                              "say \"hi\" \"\" now"},
                    ValueCase{"triple_ending_in_quote", "\"\"\"say \"hi\"\"\"\"", "say \"hi\""},
                    ValueCase{"triple_ending_in_three", "\"\"\"a\"\"\"\"\"\"", "a\"\"\""},
                    ValueCase{"no_escapes", "\"a\\nb\\\"", "a\\nb\\"},
                    ValueCase{"hash_in_triple", "\"\"\"a\n# b\nFROM c\"\"\"", "a\n# b\nFROM c"},
                    ValueCase{"letters", "\xC3\x84rger \xE2\x98\xA0", "\xC3\x84rger \xE2\x98\xA0"}),
    [](const auto& test) { return test.param.name; });

TEST(ModelfileParser, AllowsEmptySystem) {
  EXPECT_EQ(parsed("FROM tiny\nSYSTEM \"\"\n").system, "");
}

TEST(ModelfileParser, IsLinearInHostileText) {
  std::string text = "FROM tiny\nSYSTEM \"\"\"";
  text.append(4 << 20, '"');
  EXPECT_EQ(parsed(text).system.size(), (4u << 20) - 3);
  std::string deep(4 << 20, '#');
  EXPECT_FALSE(parse(deep, "m").ok());
  std::string long_word(4 << 20, 'x');
  EXPECT_FALSE(parse(long_word, "m").ok());
}

}  // namespace
}  // namespace glm::modelfiles
