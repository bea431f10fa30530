// Replays tests/golden/text/tokenizers.json: the ids and texts of Hugging Face `tokenizers`.
//
// Of most texts the file has only a checksum for every 50. Where one differs, the 50 answers are
// written to a file that make_tokenizers.py --diff compares with the reference's.
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "runner/text/tokenizer.h"
#include "tests/text/random_texts.h"
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

constexpr DecodeOptions kSkip{.specials = DecodeOptions::Specials::skip};
constexpr EncodeOptions kWhole{.specials = EncodeOptions::Specials::add};

class TokenizerGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const Json& suite : golden()["suites"]) {
      if (suite["name"] == GetParam()) suite_ = &suite;
    }
    const std::string text = suite().contains("file")
                                 ? source_file(suite()["file"].get<std::string>())
                                 : suite()["tokenizer"].dump();
    if (text.empty()) GTEST_SKIP() << suite()["file"] << " is not in this tree";
    auto parsed = Tokenizer::parse(text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    tokenizer_.emplace(std::move(parsed).value());
  }

  const Json& suite() const { return *suite_; }

  // Decodes in one piece and streamed, which must not differ.
  std::string decoded(const Ids& ids, DecodeOptions options = {}) {
    const std::string text = tokenizer_->decode(ids, options);
    Detokenizer detokenizer(*tokenizer_, options);
    std::string streamed;
    for (const std::int32_t id : ids) {
      const std::string part = detokenizer.push(id);
      EXPECT_TRUE(is_valid_utf8(part));
      streamed += part;
    }
    EXPECT_EQ(streamed + detokenizer.finish(), text) << Json(ids);
    return text;
  }

  struct Answers {
    std::string text;
    Ids ids, whole;
    std::string decoded, decoded_whole;
    Ids some;
    std::string decoded_some, decoded_some_skipped;
  };

  Answers answers(const RandomTexts& texts, std::uint64_t n) {
    Random random(GetParam(), n);
    Answers out;
    out.text = texts.draw(random);
    out.ids = tokenizer_->encode(out.text);
    out.whole = tokenizer_->encode(out.text, kWhole);
    out.decoded = decoded(out.ids);
    out.decoded_whole = decoded(out.whole, kSkip);
    out.some = RandomTexts::draw_ids(random, suite()["size"].get<std::uint64_t>());
    out.decoded_some = decoded(out.some);
    out.decoded_some_skipped = decoded(out.some, kSkip);
    return out;
  }

  static void add(Crc32& crc, const Ids& ids) {
    crc.add_number(static_cast<std::uint32_t>(ids.size()));
    for (const std::int32_t id : ids) crc.add_number(static_cast<std::uint32_t>(id));
  }

  static void add(Crc32& crc, const std::string& text) {
    crc.add_number(static_cast<std::uint32_t>(text.size()));
    crc.add(text);
  }

  const Json* suite_ = nullptr;
  std::optional<Tokenizer> tokenizer_;
};

TEST_P(TokenizerGolden, GivesTheSameIds) {
  for (const Json& entry : suite()["cases"]) {
    const std::string text = entry[0];
    const Ids want = entry[1];
    EXPECT_EQ(tokenizer_->encode(text), want) << Json(text).dump();
    const Ids want_whole = entry.size() > 2 ? entry[2].get<Ids>() : want;
    EXPECT_EQ(tokenizer_->encode(text, kWhole), want_whole)
        << "with specials " << Json(text).dump();
  }
}

TEST_P(TokenizerGolden, GivesTheSameIdsAndTextsForTenThousandTexts) {
  const RandomTexts texts(golden()["alphabet"],
                          suite()["specials"].get<std::vector<std::string>>());
  const std::string checksums = suite()["checksums"];
  const auto batch = golden()["batch"].get<std::uint64_t>();
  const auto count = golden()["texts"].get<std::uint64_t>();
  ASSERT_EQ(checksums.size(), count / batch * 8);
  const std::string path = testing::TempDir() + "tokenizer_golden_" + GetParam() + ".jsonl";
  std::uint64_t wrong = 0;
  for (std::uint64_t first = 0; first < count; first += batch) {
    Crc32 crc;
    std::string lines;
    for (std::uint64_t n = first; n < first + batch; ++n) {
      const Answers a = answers(texts, n);
      add(crc, a.ids), add(crc, a.whole), add(crc, a.decoded), add(crc, a.decoded_whole);
      add(crc, a.some), add(crc, a.decoded_some), add(crc, a.decoded_some_skipped);
      lines += Json({GetParam(), n, a.text, a.ids, a.whole, a.decoded, a.decoded_whole, a.some,
                     a.decoded_some, a.decoded_some_skipped})
                   .dump() +
               "\n";
    }
    if (fmt::format("{:08x}", crc.value()) == checksums.substr(first / batch * 8, 8)) continue;
    std::ofstream(path, wrong++ == 0 ? std::ios::trunc : std::ios::app) << lines;
  }
  EXPECT_EQ(wrong, 0u) << "batches of " << batch << " texts differ; see\n  python "
                       << "tests/golden/text/make_tokenizers.py --diff " << path;
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerGolden, testing::ValuesIn(suites()),
                         [](const auto& test) { return test.param; });

TEST(TokenizerGoldenFile, IsThere) {
  ASSERT_TRUE(golden().is_object());
}

}  // namespace
}  // namespace glm::runner
