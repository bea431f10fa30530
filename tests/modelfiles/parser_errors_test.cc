// Whole texts: a message that points at the wrong place fails here.
#include <gtest/gtest.h>

#include <ostream>
#include <random>
#include <string>

#include "modelfiles/parser.h"

namespace glm::modelfiles {
namespace {

struct ErrorCase {
  const char* name;
  std::string_view text;
  std::string_view want;
};

void PrintTo(const ErrorCase& test, std::ostream* out) {
  *out << test.name;
}

const ErrorCase kErrorCases[] = {
    {"word_for_a_number", "FROM org/model\nPARAMETER temperature warm\n",
     "m:2:23: temperature wants a number in [0, 2], got 'warm'\n"
     "PARAMETER temperature warm\n"
     "                      ^"},
    {"empty_file", "", "m: FROM is missing"},
    {"only_comments", "# nothing\n\n   # here\n", "m: FROM is missing"},
    {"misspelt_instruction", "FORM tiny\n",
     "m:1:1: there is no instruction 'FORM'; did you mean 'FROM'?\n"
     "FORM tiny\n"
     "^"},
    {"unknown_instruction", "FROM tiny\nEXPOSE 80\n",
     "m:2:1: there is no instruction 'EXPOSE'\n"
     "EXPOSE 80\n"
     "^"},
    {"indented_instruction", "FROM tiny\n   parametr seed 1\n",
     "m:2:4: there is no instruction 'parametr'; did you mean 'PARAMETER'?\n"
     "   parametr seed 1\n"
     "   ^"},
    {"misspelt_parameter", "FROM tiny\nPARAMETER temprature 1\n",
     "m:2:11: there is no parameter 'temprature'; did you mean 'temperature'?\n"
     "PARAMETER temprature 1\n"
     "          ^"},
    {"unknown_parameter", "FROM tiny\nPARAMETER num_gpu 1\n",
     "m:2:11: there is no parameter 'num_gpu'\n"
     "PARAMETER num_gpu 1\n"
     "          ^"},
    {"parameter_alone", "FROM tiny\nPARAMETER\n",
     "m:2:10: PARAMETER wants a name and a value\n"
     "PARAMETER\n"
     "         ^"},
    {"parameter_without_value", "FROM tiny\nPARAMETER seed   \n",
     "m:2:18: seed wants a value\n"
     "PARAMETER seed   \n"
     "                 ^"},
    {"fraction_for_an_integer", "FROM tiny\nPARAMETER top_k 4.5\n",
     "m:2:17: top_k wants a whole number in [-1, 2147483647], got '4.5'\n"
     "PARAMETER top_k 4.5\n"
     "                ^"},
    {"out_of_range", "FROM tiny\nPARAMETER top_p \"1.5\"\n",
     "m:2:18: top_p wants a number in [0, 1], got '1.5'\n"
     "PARAMETER top_p \"1.5\"\n"
     "                 ^"},
    {"not_a_choice", "FROM tiny\nPARAMETER device gpu\n",
     "m:2:18: device wants auto, cpu or cuda, got 'gpu'\n"
     "PARAMETER device gpu\n"
     "                 ^"},
    {"parameter_twice", "FROM tiny\nPARAMETER seed 1\nPARAMETER seed 2\n",
     "m:3:11: PARAMETER seed stands on line 2 already\n"
     "PARAMETER seed 2\n"
     "          ^"},
    {"from_twice", "FROM tiny\nFROM other\n",
     "m:2:1: FROM stands on line 1 already\n"
     "FROM other\n"
     "^"},
    {"system_twice", "FROM tiny\nSYSTEM a\nsystem b",
     "m:3:1: SYSTEM stands on line 2 already\n"
     "system b\n"
     "^"},
    {"from_alone", "FROM",
     "m:1:5: FROM wants a value\n"
     "FROM\n"
     "    ^"},
    {"from_empty", "FROM \"\"",
     "m:1:7: FROM wants a model, got ''\n"
     "FROM \"\"\n"
     "      ^"},
    {"from_two_words", "FROM tiny please\n",
     "m:1:10: FROM wants one model and nothing behind it\n"
     "FROM tiny please\n"
     "         ^"},
    {"open_quote", "FROM tiny\nSYSTEM \"be brief\nPARAMETER seed 1\n",
     "m:2:8: this quote is not closed on its line; put \"\"\" around longer texts\n"
     "SYSTEM \"be brief\n"
     "       ^"},
    {"open_quote_at_the_end", "FROM tiny\nSYSTEM \"",
     "m:2:8: this quote is not closed on its line; put \"\"\" around longer texts\n"
     "SYSTEM \"\n"
     "       ^"},
    {"open_triple", "FROM tiny\nSYSTEM \"\"\"be\nbrief\n\"\"\n",
     "m:2:8: this \"\"\" is never closed\n"
     "SYSTEM \"\"\"be\n"
     "       ^"},
    {"text_behind_quote", "FROM tiny\nSYSTEM \"a\" b\n",
     "m:2:12: text behind the closing quote; put \"\"\" around a value with quotes in it\n"
     "SYSTEM \"a\" b\n"
     "           ^"},
    {"text_behind_triple", "FROM tiny\nSYSTEM \"\"\"a\nb\"\"\" c\n",
     "m:3:6: text behind the closing quote; put \"\"\" around a value with quotes in it\n"
     "b\"\"\" c\n"
     "     ^"},
    {"bad_role", "FROM tiny\nMESSAGE usr hi\n",
     "m:2:9: MESSAGE wants the role system, user or assistant, got 'usr'; did you mean 'user'?\n"
     "MESSAGE usr hi\n"
     "        ^"},
    {"message_alone", "FROM tiny\nMESSAGE\n",
     "m:2:8: MESSAGE wants a role and a text\n"
     "MESSAGE\n"
     "       ^"},
    {"message_without_text", "FROM tiny\nMESSAGE user\n",
     "m:2:13: MESSAGE user wants a value\n"
     "MESSAGE user\n"
     "            ^"},
    {"adapter", "FROM tiny\nADAPTER ./lora\n",
     "m:2:1: ADAPTER is not supported: glm does not apply adapters; merge it into a checkpoint "
     "first\n"
     "ADAPTER ./lora\n"
     "^"},
    {"go_template", "FROM tiny\nTEMPLATE \"\"\"{{ if .System }}x{{ end }}\"\"\"\n",
     "m:2:1: this TEMPLATE is written for Go; glm wants Jinja, or no TEMPLATE to use the "
     "checkpoint's own\n"
     "TEMPLATE \"\"\"{{ if .System }}x{{ end }}\"\"\"\n"
     "^"},
    {"caret_under_letters", "FROM tiny\nSYSTEM \"\xC3\xA4\xC3\xB6\xC3\xBC\" x\n",
     "m:2:14: text behind the closing quote; put \"\"\" around a value with quotes in it\n"
     "SYSTEM \"\xC3\xA4\xC3\xB6\xC3\xBC\" x\n"
     "             ^"},
    {"caret_behind_tabs", "FROM tiny\n\tPARAMETER\tseed\tx\n",
     "m:2:17: seed wants a whole number, got 'x'\n"
     "\tPARAMETER\tseed\tx\n"
     "\t         \t    \t^"},
    {"control_bytes", "FROM tiny\nBELL\x1B[2J\x07 1\n",
     "m:2:1: there is no instruction 'BELL?[2J?'\n"
     "BELL?[2J? 1\n"
     "^"},
    {"windows_line", "FROM tiny\r\nPARAMETER seed x\r\n",
     "m:2:16: seed wants a whole number, got 'x'\n"
     "PARAMETER seed x\n"
     "               ^"},
    {"byte_order_mark",
     "\xEF\xBB\xBF"
     "FORM tiny\n",
     "m:1:1: there is no instruction 'FORM'; did you mean 'FROM'?\n"
     "FORM tiny\n"
     "^"},
};

class ModelfileErrors : public testing::TestWithParam<ErrorCase> {};

TEST_P(ModelfileErrors, PointAtTheMistake) {
  auto parsed = parse(GetParam().text, "m");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(All, ModelfileErrors, testing::ValuesIn(kErrorCases),
                         [](const auto& test) { return test.param.name; });

TEST(ModelfileErrors, HaveTheCodeThatFits) {
  EXPECT_EQ(parse("FORM x", "m").error().code, Errc::invalid_argument);
  EXPECT_EQ(parse("ADAPTER x", "m").error().code, Errc::unsupported);
}

TEST(ModelfileErrors, ShowTheMiddleOfALongLine) {
  const std::string line = "SYSTEM \"" + std::string(500, 'a') + "\" b" + std::string(500, 'c');
  const auto parsed = parse("FROM tiny\n" + line, "m");
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.error().message,
            "m:2:511: text behind the closing quote; put \"\"\" around a value with quotes in it\n"
            "..." +
                std::string(47, 'a') + "\" b" + std::string(50, 'c') + "...\n" +
                std::string(52, ' ') + "^");
}

TEST(ModelfileErrors, ComeBackWhateverTheBytes) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string_view pieces[] = {"FROM", "PARAMETER", "stop",     "\"",    "\"\"\"",
                                     "\n",   " ",         "\t",       "#",     "x",
                                     "\r\n", "\xFF",      "\xC3\xA4", "SYSTEM"};
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto n = random() % 12; n > 0; --n) {
      text += pieces[random() % std::size(pieces)];
    }
    const auto parsed = parse(text, "m");
    EXPECT_TRUE(parsed.ok() || parsed.error().message.starts_with("m:")) << text;
  }
}

}  // namespace
}  // namespace glm::modelfiles
