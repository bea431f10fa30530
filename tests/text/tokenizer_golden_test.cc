// Replays tests/golden/text/tokenizers.json: the ids and texts of Hugging Face `tokenizers`.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "runner/text/tokenizer.h"
#include "runner/text/utf8_stream.h"
#include "tests/text/read_json.h"

namespace glm::runner {
namespace {

using Ids = std::vector<std::int32_t>;
using Json = nlohmann::ordered_json;

const Json& golden() {
  static const Json file = source_json("tests/golden/text/tokenizers.json");
  return file;
}

std::vector<std::string> suites() {
  std::vector<std::string> names;
  if (golden().is_object()) {
    for (const Json& suite : golden()["suites"]) names.push_back(suite["name"]);
  }
  return names;
}

class TokenizerGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const Json& suite : golden()["suites"]) {
      if (suite["name"] == GetParam()) suite_ = suite;
    }
    const std::string text = suite_.contains("file")
                                 ? source_file(suite_["file"].get<std::string>())
                                 : suite_["tokenizer"].dump();
    if (text.empty()) GTEST_SKIP() << suite_["file"] << " is not in this tree";
    auto parsed = Tokenizer::parse(text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    tokenizer_.emplace(std::move(parsed).value());
  }

  Json suite_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_P(TokenizerGolden, GivesTheSameIds) {
  int wrong = 0;
  for (const Json& entry : suite_["cases"]) {
    const std::string text = entry[0];
    const Ids want = entry[1];
    const Ids got = tokenizer_->encode(text);
    if (got != want && ++wrong < 5) {
      ADD_FAILURE() << Json(text).dump() << "\n got " << Json(got) << "\nwant " << Json(want);
    }
    const Ids want_whole = entry.size() > 2 ? entry[2].get<Ids>() : want;
    const Ids whole = tokenizer_->encode(text, {.specials = EncodeOptions::Specials::add});
    if (whole != want_whole && ++wrong < 5) {
      ADD_FAILURE() << "with specials " << Json(text).dump() << "\n got " << Json(whole)
                    << "\nwant " << Json(want_whole);
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST_P(TokenizerGolden, GivesTheSameTextInOnePieceAndStreamed) {
  if (!suite_.contains("decodes")) GTEST_SKIP();
  for (const Json& entry : suite_["decodes"]) {
    const Ids ids = entry[0];
    EXPECT_EQ(tokenizer_->decode(ids), entry[1].get<std::string>()) << entry[0];
    EXPECT_EQ(tokenizer_->decode(ids, {.specials = DecodeOptions::Specials::skip}),
              entry[2].get<std::string>())
        << entry[0];
    Utf8Stream stream;
    std::string streamed;
    for (const std::int32_t id : ids) streamed += stream.push(tokenizer_->bytes_of(id));
    EXPECT_EQ(streamed + stream.finish(), entry[1].get<std::string>()) << entry[0];
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, testing::ValuesIn(suites()),
                         [](const auto& test) { return test.param; });

TEST(TokenizerGoldenFile, IsThere) {
  ASSERT_TRUE(golden().is_object());
}

}  // namespace
}  // namespace glm::runner
