// What may stand in `prompt`, and what is said of what may not.
#include "cmd/api/openai_completions.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace glm::api {
namespace {

Result<std::vector<RawPrompt>> read(const char* prompt) {
  return prompt_field(Json{{"prompt", Json::parse(prompt)}});
}

TEST(PromptField, TakesATextOrIds) {
  const auto text = read(R"("Once upon")");
  ASSERT_TRUE(text.ok());
  ASSERT_EQ(text->size(), 1u);
  EXPECT_EQ(text->front().text, "Once upon");
  EXPECT_TRUE(text->front().ids.empty());
  const auto ids = read("[3, 0, 2147483647]");
  ASSERT_TRUE(ids.ok());
  ASSERT_EQ(ids->size(), 1u);
  EXPECT_EQ(ids->front().ids, (std::vector<std::int32_t>{3, 0, 2147483647}));
}

TEST(PromptField, TakesAListOfEither) {
  const auto prompts = read(R"(["a", [1, 2], "b"])");
  ASSERT_TRUE(prompts.ok());
  ASSERT_EQ(prompts->size(), 3u);
  EXPECT_EQ((*prompts)[0].text, "a");
  EXPECT_EQ((*prompts)[1].ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_EQ((*prompts)[2].text, "b");
}

TEST(PromptField, TakesSoManyPromptsAndNoMore) {
  EXPECT_EQ(prompt_field(Json{{"prompt", std::vector<std::string>(kPromptsMax, "x")}})->size(),
            kPromptsMax);
  EXPECT_EQ(prompt_field(Json{{"prompt", std::vector<std::string>(kPromptsMax + 1, "x")}})
                .error()
                .message,
            "field 'prompt' has 129 prompts, at most 128 are taken");
}

TEST(PromptField, SaysWhatItWants) {
  EXPECT_EQ(prompt_field(Json::object()).error().message, "prompt is required");
  struct Case {
    const char* prompt;
    const char* message;
  };
  const char* kWants =
      "field 'prompt' wants a text, a list of token ids, or a list of either, got ";
  const Case cases[] = {
      {"7", "an integer"},
      {R"({"text": "x"})", "an object"},
      {R"(["x", null])", "null"},
      {R"([true])", "true or false"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(read(c.prompt).error().message, std::string(kWants) + c.message) << c.prompt;
  }
  EXPECT_EQ(read(R"("")").error().message, "field 'prompt' is empty");
  EXPECT_EQ(read("[]").error().message, "field 'prompt' is empty");
  EXPECT_EQ(read(R"(["x", []])").error().message, "field 'prompt' is empty");
  EXPECT_EQ(read("[1, 2, -1]").error().message, "token 2 of a prompt is -1, which is no id");
  EXPECT_EQ(read("[2147483648]").error().message,
            "token 0 of a prompt is 2147483648, which is no id");
  EXPECT_EQ(read("[1, 2.5]").error().message, "token 1 of a prompt is a number, an id is wanted");
  EXPECT_EQ(read("[18446744073709551615]").error().message,
            "token 0 of a prompt is 18446744073709551615, which is no id");
}

}  // namespace
}  // namespace glm::api
