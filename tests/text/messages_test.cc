#include "runner/text/messages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

TEST(Messages, BecomeWhatTemplatesExpect) {
  const Json messages = Json::parse(R"([
    {"role": "developer", "content": "d"},
    {"role": "user"},
    {"role": "assistant", "content": null, "thinking": "t", "tool_calls": [
      {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"z\": 1.0, \"a\": [2]}"}},
      {"function": {"name": "g", "arguments": ""}},
      {"name": "h", "arguments": {"k": "v"}},
      {"function": {"name": "i"}}]},
    {"role": "assistant", "content": "c", "reasoning": "r", "reasoning_content": "", "tool_calls": null},
    {"role": "tool", "content": "18C", "tool_name": "f"},
    {"role": "function", "content": "5C", "name": "g"}])");
  const auto normalised = normalise_messages(messages);
  ASSERT_TRUE(normalised.ok()) << normalised.error().message;
  EXPECT_EQ(normalised->dump(), Json::parse(R"([
    {"role": "system", "content": "d"},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "", "thinking": "t", "tool_calls": [
      {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"z": 1.0, "a": [2]}}},
      {"function": {"name": "g", "arguments": {}}},
      {"name": "h", "arguments": {"k": "v"}},
      {"function": {"name": "i", "arguments": {}}}], "reasoning_content": "t"},
    {"role": "assistant", "content": "c", "reasoning": "r", "reasoning_content": ""},
    {"role": "tool", "content": "18C", "tool_name": "f", "name": "f"},
    {"role": "tool", "content": "5C", "name": "g"}])")
                                    .dump());
}

struct Refusal {
  const char* name;
  const char* messages;
  const char* want;

  friend void PrintTo(const Refusal& row, std::ostream* out) { *out << row.name; }
};

const Refusal kRefusals[] = {
    {"no_array", "{}", "messages is a JSON object, wanted an array"},
    {"no_object", "[1]", "messages[0]: a JSON number, wanted an object"},
    {"no_role", R"([{"content": "a"}])", "messages[0]: role is missing or not a string"},
    {"role", R"([{"role": "system", "content": ""}, {"role": "bogus", "content": "a"}])",
     "messages[1]: role \"bogus\" is not one of system, developer, user, assistant, tool"},
    {"content", R"([{"role": "user", "content": 5}])",
     "messages[0]: content is a JSON number, wanted a string or an array"},
    {"not_json",
     R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{x"}}]}])",
     "messages[0]: tool_calls[0]: the arguments of 'f' are not JSON: {x"},
    {"not_an_object",
     R"([{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}])",
     "messages[0]: tool_calls[0]: the arguments of 'f' are a JSON array, wanted an object"},
    {"no_name", R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])",
     "messages[0]: tool_calls[0]: a tool call has no name"},
    {"calls", R"([{"role": "assistant", "tool_calls": 7}])",
     "messages[0]: tool_calls is a JSON number, wanted an array"},
    {"call", R"([{"role": "assistant", "tool_calls": ["f"]}])",
     "messages[0]: tool_calls[0]: a tool call is a JSON string, wanted an object"},
};

class MessagesRefused : public testing::TestWithParam<Refusal> {};

TEST_P(MessagesRefused, NameThePlace) {
  const auto normalised = normalise_messages(Json::parse(GetParam().messages));
  ASSERT_FALSE(normalised.ok());
  EXPECT_EQ(normalised.error().message, GetParam().want);
  EXPECT_EQ(normalised.error().code, Errc::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(All, MessagesRefused, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace glm::runner
