#include "base/option_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

namespace glm {
namespace {

constexpr OptionRow kRows[] = {
    {.name = "heat", .type = OptionType::number, .min = 0, .max = 2},
    {.name = "count", .type = OptionType::integer, .min = -1, .max = 100},
    {.name = "any", .type = OptionType::integer},
    {.name = "floor", .type = OptionType::integer, .min = 3},
    {.name = "verbose", .type = OptionType::boolean, .fallback = "false"},
    {.name = "device",
     .env = "GLM_TEST_OPTION_DEVICE",
     .fallback = "auto",
     .choices = "auto|cpu|cuda"},
    {.name = "title"},
    {.name = "stop", .type = OptionType::texts},
};

const OptionTable& table() {
  static const OptionTable instance(kRows);
  return instance;
}

TEST(OptionTable, FindsItsRowsByName) {
  ASSERT_NE(table().find("heat"), nullptr);
  EXPECT_EQ(table().find("heat")->max, 2);
  EXPECT_EQ(table().find("Heat"), nullptr);
  EXPECT_EQ(table().find(""), nullptr);
}

TEST(OptionTable, SuggestsTheNearestName) {
  const auto row = table().require("cuont");
  ASSERT_FALSE(row.ok());
  EXPECT_EQ(row.error().code, Errc::invalid_argument);
  EXPECT_EQ(row.error().message, "there is no option 'cuont'; did you mean 'count'?");
  EXPECT_EQ(table().require("zzz").error().message, "there is no option 'zzz'");
}

struct RefusedCase {
  std::string_view option, text, want;
};

void PrintTo(const RefusedCase& test, std::ostream* out) {
  *out << test.option << " " << test.text;
}

class OptionTableRefused : public testing::TestWithParam<RefusedCase> {};

TEST_P(OptionTableRefused, SaysWhatItWantsAndGot) {
  const auto value = OptionTable::parse(*table().find(GetParam().option), GetParam().text);
  ASSERT_FALSE(value.ok());
  EXPECT_EQ(value.error().code, Errc::invalid_argument);
  EXPECT_EQ(value.error().message, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    All, OptionTableRefused,
    testing::Values(
        RefusedCase{"heat", "warm", "heat wants a number in [0, 2], got 'warm'"},
        RefusedCase{"heat", "2.0001", "heat wants a number in [0, 2], got '2.0001'"},
        RefusedCase{"heat", "-0.1", "heat wants a number in [0, 2], got '-0.1'"},
        RefusedCase{"heat", "1 ", "heat wants a number in [0, 2], got '1 '"},
        RefusedCase{"heat", "0x1", "heat wants a number in [0, 2], got '0x1'"},
        RefusedCase{"heat", "nan", "heat wants a number in [0, 2], got 'nan'"},
        RefusedCase{"heat", "inf", "heat wants a number in [0, 2], got 'inf'"},
        RefusedCase{"heat", "", "heat wants a number in [0, 2], got ''"},
        RefusedCase{"count", "1.5", "count wants a whole number in [-1, 100], got '1.5'"},
        RefusedCase{"count", "101", "count wants a whole number in [-1, 100], got '101'"},
        RefusedCase{"any", "9223372036854775808",
                    "any wants a whole number, got '9223372036854775808'"},
        RefusedCase{"floor", "2", "floor wants a whole number of at least 3, got '2'"},
        RefusedCase{"verbose", "maybe", "verbose wants true or false, got 'maybe'"},
        RefusedCase{"device", "tpu", "device wants auto, cpu or cuda, got 'tpu'"},
        RefusedCase{"device", "auto|cpu", "device wants auto, cpu or cuda, got 'auto|cpu'"},
        RefusedCase{"device", "", "device wants auto, cpu or cuda, got ''"}));

TEST(OptionTable, ParsesWhatIsInRange) {
  const auto parse = [](std::string_view option, std::string_view text) {
    return OptionTable::parse(*table().find(option), text);
  };
  EXPECT_EQ(std::get<double>(*parse("heat", "0.75")), 0.75);
  EXPECT_EQ(std::get<double>(*parse("heat", "2")), 2.0);
  EXPECT_EQ(std::get<double>(*parse("heat", "1e-3")), 0.001);
  EXPECT_EQ(std::get<std::int64_t>(*parse("count", "-1")), -1);
  EXPECT_EQ(std::get<std::int64_t>(*parse("any", "9223372036854775807")), INT64_MAX);
  EXPECT_EQ(std::get<std::int64_t>(*parse("any", "-9223372036854775808")), INT64_MIN);
  EXPECT_EQ(std::get<bool>(*parse("verbose", "on")), true);
  EXPECT_EQ(std::get<std::string>(*parse("device", "cuda")), "cuda");
  EXPECT_EQ(std::get<std::vector<std::string>>(*parse("stop", "x")), std::vector<std::string>{"x"});
}

TEST(OptionTable, ChecksTypedValuesLikeTexts) {
  const auto check = [](std::string_view option, OptionValue value) {
    return OptionTable::check(*table().find(option), std::move(value));
  };
  EXPECT_EQ(std::get<std::int64_t>(*check("count", 40.0)), 40);
  EXPECT_EQ(std::get<double>(*check("heat", std::int64_t{1})), 1.0);
  EXPECT_EQ(check("count", 40.5).error().message,
            "count wants a whole number in [-1, 100], got 40.5");
  EXPECT_FALSE(check("any", 1e300).ok());
  EXPECT_FALSE(check("any", std::nan("")).ok());
  EXPECT_FALSE(check("any", 9223372036854775808.0).ok());
  EXPECT_FALSE(check("heat", std::nan("")).ok());
  EXPECT_EQ(check("heat", true).error().message, "heat wants a number in [0, 2], got true");
  EXPECT_EQ(check("title", std::int64_t{3}).error().message, "title wants a text, got 3");
  EXPECT_EQ(check("heat", std::string("1")).error().message,
            "heat wants a number in [0, 2], got '1'");
}

TEST(OptionSet, LetsTheStrongerOriginWinWhateverTheOrder) {
  OptionSet options(table());
  EXPECT_EQ(options.number("heat"), std::nullopt);
  EXPECT_EQ(options.text("device"), "auto");
  EXPECT_EQ(options.origin("device"), OptionOrigin::fallback);

  ASSERT_TRUE(options.set("heat", 1.5, OptionOrigin::request).ok());
  ASSERT_TRUE(options.set_text("heat", "0.5", OptionOrigin::modelfile).ok());
  EXPECT_EQ(options.number("heat"), 1.5);
  EXPECT_EQ(options.origin("heat"), OptionOrigin::request);
  ASSERT_TRUE(options.set_text("heat", "0.25", OptionOrigin::flag).ok());
  EXPECT_EQ(options.number("heat"), 0.25);
}

TEST(OptionSet, TakesTheLastOfOneOrigin) {
  OptionSet options(table());
  ASSERT_TRUE(options.set_text("count", "1", OptionOrigin::flag).ok());
  ASSERT_TRUE(options.set_text("count", "2", OptionOrigin::flag).ok());
  EXPECT_EQ(options.integer("count"), 2);
}

TEST(OptionSet, AddsUpTextsOfOneOriginAndReplacesThoseOfAWeaker) {
  OptionSet options(table());
  ASSERT_TRUE(options.set_text("stop", "a", OptionOrigin::modelfile).ok());
  ASSERT_TRUE(options.set_text("stop", "b", OptionOrigin::modelfile).ok());
  EXPECT_EQ(options.texts("stop"), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(options.set("stop", std::vector<std::string>{"c", "d"}, OptionOrigin::request).ok());
  EXPECT_EQ(options.texts("stop"), (std::vector<std::string>{"c", "d"}));
}

TEST(OptionSet, NamesTheOriginOfABadValueEvenWhenAStrongerOneIsSet) {
  OptionSet options(table());
  ASSERT_TRUE(options.set_text("heat", "1", OptionOrigin::flag).ok());
  EXPECT_EQ(options.set_text("heat", "9", OptionOrigin::modelfile).error().message,
            "Modelfile: heat wants a number in [0, 2], got '9'");
  EXPECT_EQ(options.set("haet", 1.0, OptionOrigin::request, "options").error().message,
            "options: there is no option 'haet'; did you mean 'heat'?");
  EXPECT_EQ(options.number("heat"), 1.0);
}

TEST(OptionSet, ReadsTheEnvironment) {
  OptionSet options(table());
  ASSERT_EQ(::setenv("GLM_TEST_OPTION_DEVICE", "cpu", 1), 0);
  ASSERT_TRUE(options.read_environment().ok());
  EXPECT_EQ(options.text("device"), "cpu");
  EXPECT_EQ(options.origin("device"), OptionOrigin::environment);

  ASSERT_EQ(::setenv("GLM_TEST_OPTION_DEVICE", "gpu", 1), 0);
  EXPECT_EQ(options.read_environment().error().message,
            "environment variable GLM_TEST_OPTION_DEVICE: device wants auto, cpu or cuda, "
            "got 'gpu'");
  ASSERT_EQ(::setenv("GLM_TEST_OPTION_DEVICE", "", 1), 0);
  EXPECT_TRUE(options.read_environment().ok());
  ::unsetenv("GLM_TEST_OPTION_DEVICE");
}

TEST(OptionTableDeathTest, RefusesRowsThatContradictThemselves) {
  static constexpr OptionRow kTwice[] = {{.name = "a"}, {.name = "a"}};
  EXPECT_DEATH(OptionTable{kTwice}, "");
  static constexpr OptionRow kBadDefault[] = {
      {.name = "a", .type = OptionType::integer, .fallback = "7", .min = 8}};
  EXPECT_DEATH(OptionTable{kBadDefault}, "");
}

}  // namespace
}  // namespace glm
