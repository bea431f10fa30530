// What each dialect's switches become, per kind of template.
#include "cmd/daemon/thinking.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

namespace glm::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSwitch = "{% if enable_thinking %}{% endif %}";
constexpr const char* kLevels =
    "{{ reasoning_effort | default('medium') }}{{ messages[0].thinking }}";
constexpr const char* kBoth = "{{ enable_thinking }}{{ reasoning_effort }}";
constexpr const char* kOther = "{% if not thinking is defined %}{% endif %}";
constexpr const char* kNothing = "{{ messages }}";

struct Row {
  const char* name;
  const char* source;
  Thinking thinking;
  const char* said;  // in chat_template_kwargs
  const char* want;

  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

const Row kRows[] = {
    {"switch_off", kSwitch, {false, ""}, "{}", R"({"enable_thinking": false})"},
    {"switch_on", kSwitch, {true, ""}, "{}", R"({"enable_thinking": true})"},
    {"switch_level", kSwitch, {true, "high"}, "{}", R"({"enable_thinking": true})"},
    {"switch_default", kSwitch, {}, "{}", "{}"},
    {"effort_only", kSwitch, {std::nullopt, "high"}, "{}", "{}"},
    {"kwargs_stand",
     kSwitch,
     {true, ""},
     R"({"enable_thinking": false})",
     R"({"enable_thinking": false})"},
    {"others_stay",
     kSwitch,
     {false, ""},
     R"({"clear_thinking": false})",
     R"({"clear_thinking": false, "enable_thinking": false})"},
    {"level", kLevels, {true, "high"}, "{}", R"({"reasoning_effort": "high"})"},
    {"level_on", kLevels, {true, ""}, "{}", "{}"},
    {"level_off", kLevels, {false, ""}, "{}", R"({"reasoning_effort": "low"})"},
    {"both", kBoth, {true, "max"}, "{}", R"({"enable_thinking": true, "reasoning_effort": "max"})"},
    {"both_off", kBoth, {false, ""}, "{}", R"({"enable_thinking": false})"},
    {"other", kOther, {true, "low"}, "{}", R"({"thinking": true})"},
    {"nothing", kNothing, {false, "low"}, "{}", "{}"},
};

class ThinkingVariables : public testing::TestWithParam<Row> {};

TEST_P(ThinkingVariables, AreWhatTheTemplateHas) {
  const auto parsed = runner::ChatTemplate::parse(GetParam().source);
  ASSERT_TRUE(parsed.ok());
  Json variables = Json::parse(GetParam().said);
  add_thinking(*parsed, GetParam().thinking, variables);
  EXPECT_EQ(variables, Json::parse(GetParam().want));
  EXPECT_EQ(can_think(*parsed), GetParam().source != kNothing);
}

INSTANTIATE_TEST_SUITE_P(All, ThinkingVariables, testing::ValuesIn(kRows),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glm::daemon
