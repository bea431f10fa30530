// Fields about the choice of tokens: what they become, and the full text of each refusal.
#include "cmd/api/openai_sampling.h"

#include <gtest/gtest.h>

namespace glm::api {
namespace {

TEST(OpenaiSampling, ReadsItsFields) {
  Question question;
  const Json body = {{"logit_bias", {{"17", -100}, {"4", 2.5}, {"04", 3}}},
                     {"logprobs", true},
                     {"top_logprobs", 3},
                     {"min_tokens", 5},
                     {"priority", -3},
                     {"ignore_eos", true}};
  ASSERT_TRUE(read_sampling(body, question).ok());
  EXPECT_EQ(question.logit_bias,
            (std::vector<runner::TokenBias>{{.id = 17, .bias = -100}, {.id = 4, .bias = 3}}));
  EXPECT_EQ(question.logprobs, 3);
  EXPECT_EQ(question.tokens_min, 5);
  EXPECT_EQ(question.priority, -3);
  EXPECT_TRUE(question.ignore_eos);
  Question plain;
  ASSERT_TRUE(read_sampling({{"logprobs", false}, {"top_logprobs", 0}}, plain).ok());
  EXPECT_EQ(plain.logprobs, -1);
  ASSERT_TRUE(read_sampling({{"logprobs", true}}, plain).ok());
  EXPECT_EQ(plain.logprobs, 0);
}

struct Refusal {
  const char* name;
  const char* body;
  const char* want;
};

const Refusal kRefusals[] = {
    {"bias_of_a_word", R"({"logit_bias": {"the": 1}})",
     "field 'logit_bias' wants ids of tokens, got \"the\""},
    {"bias_of_a_negative_id", R"({"logit_bias": {"-1": 1}})",
     "field 'logit_bias' wants ids of tokens, got \"-1\""},
    {"bias_too_large", R"({"logit_bias": {"1": 101}})",
     "field 'logit_bias' wants numbers from -100 to 100, got 101 for \"1\""},
    {"bias_no_number", R"({"logit_bias": {"1": "x"}})",
     "field 'logit_bias' wants numbers from -100 to 100, got \"x\" for \"1\""},
    {"biases_in_a_list", R"({"logit_bias": [1]})",
     "field 'logit_bias' wants an object, got a list"},
    {"logprobs_as_a_number", R"({"logprobs": 3})",
     "field 'logprobs' wants true or false, got an integer"},
    {"too_many_logprobs", R"({"logprobs": true, "top_logprobs": 21})",
     "field 'top_logprobs' wants 0 to 20, got 21"},
    {"top_logprobs_alone", R"({"top_logprobs": 2})", "field 'top_logprobs' wants 'logprobs': true"},
    {"large_priority", R"({"priority": 2000000})",
     "field 'priority' wants a number from -1000000 to 1000000, got 2000000"},
    {"negative_min_tokens", R"({"min_tokens": -1})", "field 'min_tokens' wants 0 or more, got -1"},
};

class OpenaiSamplingRefusals : public testing::TestWithParam<Refusal> {};

TEST_P(OpenaiSamplingRefusals, NameTheField) {
  Question question;
  const Status status = read_sampling(Json::parse(GetParam().body), question);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::invalid_argument);
  EXPECT_EQ(status.error().message, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(All, OpenaiSamplingRefusals, testing::ValuesIn(kRefusals),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(OpenaiSampling, RefusesToBindAnswersToAForm) {
  for (const auto& [field, value] :
       {std::pair<std::string, Json>{"guided_json", {{"type", "object"}}},
        {"guided_json", Json::object()},
        {"guided_regex", "[a-z]+"},
        {"guided_regex", ""},
        {"guided_choice", {"yes", "no"}},
        {"guided_choice", Json::array()},
        {"guided_grammar", "root ::= x"},
        {"structured_outputs", {{"regex", "a"}}},
        {"structured_outputs", Json::object()}}) {
    Question question;
    const Status status = read_sampling({{field, value}}, question);
    ASSERT_FALSE(status.ok()) << field;
    EXPECT_EQ(status.error().code, Errc::unsupported);
    EXPECT_EQ(status.error().message, "field '" + field + "' is not supported by this version");
    EXPECT_TRUE(read_sampling({{field, nullptr}}, question).ok()) << field;
  }
}

TEST(OpenaiSampling, RefusesRulesAboutTokensThatItWouldNotKeep) {
  for (const auto& [field, value] : {std::pair<std::string, Json>{"stop_token_ids", {7}},
                                     {"allowed_token_ids", {1, 2}},
                                     {"bad_words", {"no"}},
                                     {"truncate_prompt_tokens", 100},
                                     {"prompt_logprobs", 1}}) {
    Question question;
    const Status status = read_sampling({{field, value}}, question);
    ASSERT_FALSE(status.ok()) << field;
    EXPECT_EQ(status.error().code, Errc::unsupported);
    EXPECT_EQ(status.error().message, "field '" + field + "' is not supported by this version");
    for (const Json& unset : {Json(), Json::array(), Json(0), Json(false)}) {
      EXPECT_TRUE(read_sampling({{field, unset}}, question).ok()) << field << " " << unset;
    }
  }
}

TEST(OpenaiSampling, TakesTextAsTheOnlyResponseFormat) {
  Question question;
  EXPECT_TRUE(read_sampling({{"response_format", {{"type", "text"}}}}, question).ok());
  EXPECT_TRUE(read_sampling({{"response_format", nullptr}}, question).ok());
  const Status status = read_sampling({{"response_format", {{"type", "json_object"}}}}, question);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::unsupported);
  EXPECT_EQ(status.error().message,
            "response_format {\"type\":\"json_object\"} is not supported; only text is");
}

TEST(OpenaiSampling, NamesWhatIsWrongWithAResponseFormat) {
  for (const auto& [format, want] : std::vector<std::pair<Json, std::string>>{
           {Json::object(), "field 'response_format.type' is missing; only \"text\" is supported"},
           {{{"type", nullptr}},
            "field 'response_format.type' is missing; only \"text\" is supported"},
           {{{"type", 1}}, "response_format: field 'type' wants a string, got an integer"},
           {"text", "field 'response_format' wants an object, got a string"}}) {
    Question question;
    const Status status = read_sampling({{"response_format", format}}, question);
    ASSERT_FALSE(status.ok()) << format;
    EXPECT_EQ(status.error().code, Errc::invalid_argument);
    EXPECT_EQ(status.error().message, want);
  }
}

TEST(OpenaiSampling, RefusesMoreBiasesThanFit) {
  Question question;
  Json body;
  for (int id = 0; id < 961; ++id) body["logit_bias"][std::to_string(id)] = 1;
  EXPECT_EQ(read_sampling(body, question).error().message,
            "field 'logit_bias' has 961 entries, at most 960 count");
}

}  // namespace
}  // namespace glm::api
