#include "modelfiles/parameters.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

namespace glm::modelfiles {
namespace {

using nlohmann::json;

TEST(Parameters, FillTheirStruct) {
  OptionSet set(parameter_table());
  ASSERT_TRUE(apply_request(json{{"temperature", 0.5},
                                 {"top_k", 40},
                                 {"top_p", 1},
                                 {"min_p", 0.1},
                                 {"repeat_penalty", 1.1},
                                 {"repeat_last_n", -1},
                                 {"presence_penalty", -2},
                                 {"frequency_penalty", 2.0},
                                 {"seed", 42},
                                 {"num_predict", 10.0},
                                 {"num_ctx", 8192},
                                 {"stop", {"a", "b"}},
                                 {"device", "cpu"},
                                 {"kv_cache_type", "fp8"}},
                            set)
                  .ok());
  const RunOptions run = run_options(set);
  EXPECT_EQ(run.temperature, 0.5);
  EXPECT_EQ(run.top_k, 40);
  EXPECT_EQ(run.top_p, 1.0);
  EXPECT_EQ(run.min_p, 0.1);
  EXPECT_EQ(run.repeat_penalty, 1.1);
  EXPECT_EQ(run.repeat_last_n, -1);
  EXPECT_EQ(run.presence_penalty, -2.0);
  EXPECT_EQ(run.frequency_penalty, 2.0);
  EXPECT_EQ(run.seed, 42);
  EXPECT_EQ(run.num_predict, 10);
  EXPECT_EQ(run.num_ctx, 8192);
  EXPECT_EQ(run.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(run.device, "cpu");
  EXPECT_EQ(run.kv_cache_type, "fp8");
}

TEST(Parameters, StayEmptyWhereNobodySaidAnything) {
  const RunOptions run = run_options(OptionSet(parameter_table()));
  EXPECT_EQ(run.temperature, std::nullopt);
  EXPECT_EQ(run.seed, std::nullopt);
  EXPECT_TRUE(run.stop.empty());
  EXPECT_EQ(run.device, "auto");
  EXPECT_EQ(run.kv_cache_type, "bf16");
}

TEST(Parameters, OfARequestWinOverThoseOfTheModelfile) {
  Modelfile m;
  m.parameters = {{"temperature", "0.1"}, {"top_k", "5"}, {"stop", "x"}, {"stop", "y"}};
  OptionSet set(parameter_table());
  ASSERT_TRUE(apply_request(json{{"temperature", 0.9}, {"top_k", nullptr}}, set).ok());
  ASSERT_TRUE(apply(m, set).ok());
  const RunOptions run = run_options(set);
  EXPECT_EQ(run.temperature, 0.9);
  EXPECT_EQ(run.top_k, 5);
  EXPECT_EQ(run.stop, (std::vector<std::string>{"x", "y"}));
}

TEST(Parameters, UnknownToUsAreReturned) {
  OptionSet set(parameter_table());
  const auto unknown = apply_request(json{{"num_gpu", 1}, {"mirostat", 2}, {"seed", 1}}, set);
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(*unknown, (std::vector<std::string>{"mirostat", "num_gpu"}));
  EXPECT_TRUE(apply_request(json(nullptr), set).ok());
}

struct BadRequest {
  const char* options;
  std::string_view want;
};

void PrintTo(const BadRequest& test, std::ostream* out) {
  *out << test.options;
}

class ParametersRefused : public testing::TestWithParam<BadRequest> {};

TEST_P(ParametersRefused, NameTheOption) {
  OptionSet set(parameter_table());
  const auto result = apply_request(json::parse(GetParam().options), set);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, Errc::invalid_argument);
  EXPECT_EQ(result.error().message, GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    All, ParametersRefused,
    testing::Values(
        BadRequest{"[]", "options wants an object, got []"},
        BadRequest{"\"x\"", "options wants an object, got \"x\""},
        BadRequest{R"({"temperature": 3})", "options: temperature wants a number in [0, 2], got 3"},
        BadRequest{R"({"temperature": "hot"})",
                   "options: temperature wants a number in [0, 2], got 'hot'"},
        BadRequest{R"({"temperature": true})",
                   "options: temperature wants a number in [0, 2], got true"},
        BadRequest{R"({"top_k": 1.5})",
                   "options: top_k wants a whole number in [-1, 2147483647], got 1.5"},
        BadRequest{R"({"num_ctx": 99999999999})",
                   "options: num_ctx wants a whole number in [0, 16777216], got 99999999999"},
        BadRequest{R"({"seed": 18446744073709551615})",
                   "options: seed wants a whole number, got 1.8446744073709552e+19"},
        BadRequest{R"({"stop": [1]})", "options: stop cannot be [1]"},
        BadRequest{R"({"stop": {"a": 1}})", "options: stop cannot be {\"a\":1}"},
        BadRequest{R"({"device": "tpu"})", "options: device wants auto, cpu or cuda, got 'tpu'"},
        BadRequest{R"({"kv_cache_type": "q8_0"})",
                   "options: kv_cache_type wants bf16 or fp8, got 'q8_0'"}));

TEST(Parameters, AllHaveHelp) {
  for (const OptionRow& row : parameter_table().rows()) EXPECT_FALSE(row.help.empty()) << row.name;
}

TEST(Parameters, StandInTheDocumentsAsTheyAre) {
  std::ifstream file(std::string(GLM_SOURCE_DIR) + "/docs/modelfile.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const OptionRow& row : parameter_table().rows()) {
    const std::string range = OptionTable::range_text(row);
    const std::string value = !row.choices.empty()             ? range
                              : row.type == OptionType::texts  ? "text"
                              : row.type == OptionType::number ? "number in " + range
                              : range.empty()                  ? "whole number"
                                                               : "whole number in " + range;
    const std::string line = fmt::format("| `{}` | {} | {} |\n", row.name, value, row.help);
    EXPECT_NE(text.str().find(line), std::string::npos) << "docs/modelfile.md lacks: " << line;
  }
}

}  // namespace
}  // namespace glm::modelfiles
