// Which options a request's fields become, and under which name a wrong one is refused.
#include "cmd/api/openai_chat.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace glm::api {
namespace {

TEST(OpenaiOptions, GoUnderTheNamesOfParameters) {
  const auto options = openai_options({{"max_completion_tokens", 7},
                                       {"repetition_penalty", 1.5},
                                       {"seed", INT64_MIN},
                                       {"top_p", nullptr},
                                       {"stop", "end"}});
  ASSERT_TRUE(options.ok());
  const nlohmann::json want = {
      {"num_predict", 7}, {"repeat_penalty", 1.5}, {"seed", INT64_MIN}, {"stop", "end"}};
  EXPECT_EQ(nlohmann::json(*options), want);
}

TEST(OpenaiOptions, AreRefusedUnderTheNamesOfTheRequest) {
  EXPECT_EQ(openai_options({{"max_tokens", 1.5}}).error().message,
            "max_tokens wants a whole number in [-2, 2147483647], got 1.5");
  EXPECT_EQ(openai_options({{"max_completion_tokens", 0}}).error().message,
            "max_completion_tokens wants 1 or more, or -1 for no bound, got 0");
  EXPECT_EQ(openai_options({{"repetition_penalty", 11}}).error().message,
            "repetition_penalty wants a number in [0.01, 10], got 11");
  EXPECT_EQ(openai_options({{"temperature", 3}}).error().message,
            "temperature wants a number in [0, 2], got 3");
  EXPECT_EQ(openai_options({{"temperature", "hot"}}).error().message,
            "field 'temperature' wants a number, got a string");
  EXPECT_EQ(openai_options({{"stop", 5}}).error().message,
            "field 'stop' wants a string or a list of strings, got an integer");
  EXPECT_EQ(openai_options({{"stop", Json::object()}}).error().message,
            "field 'stop' wants a string or a list of strings, got an object");
  EXPECT_EQ(openai_options({{"stop", {"a", nullptr}}}).error().message,
            "field 'stop[1]' wants a string, got null");
  EXPECT_TRUE(openai_options({{"stop", {"a", "b"}}}).ok());
}

TEST(OpenaiUsage, OfAStreamIsAskedForInAnObject) {
  EXPECT_FALSE(*openai_wants_usage(Json::object()));
  EXPECT_FALSE(*openai_wants_usage({{"stream_options", nullptr}}));
  EXPECT_FALSE(*openai_wants_usage({{"stream_options", Json::object()}}));
  EXPECT_TRUE(*openai_wants_usage({{"stream_options", {{"include_usage", true}}}}));
  EXPECT_EQ(openai_wants_usage({{"stream_options", true}}).error().message,
            "field 'stream_options' wants an object, got true or false");
  EXPECT_EQ(openai_wants_usage({{"stream_options", {{"include_usage", 1}}}}).error().message,
            "stream_options: field 'include_usage' wants true or false, got an integer");
}

}  // namespace
}  // namespace glm::api
