// What the golden file does not show: refusals with their full texts, literal mode, hostile input.
#include "runner/text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include <random>
#include <string>

namespace glm::runner {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<std::int32_t>;

Json split_pattern(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

// Letters a-c over the byte alphabet's spellings, and two control tokens.
Json small() {
  return Json{
      {"added_tokens",
       {{{"id", 8}, {"content", "<|user|>"}, {"special", true}},
        {{"id", 9}, {"content", "<think>"}, {"special", false}, {"normalized", false}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"},
        {"vocab",
         {{"a", 0}, {"b", 1}, {"c", 2}, {"ab", 3}, {"abc", 4}, {"Ġ", 5}, {"aa", 6}, {"|", 7}}},
        {"merges", {"a b", "ab c", "a a"}}}}};
}

Tokenizer parsed(const Json& json) {
  auto tokenizer = Tokenizer::parse(json.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return std::move(tokenizer).value();
}

TEST(Tokenizer, KnowsItsTokensBothWays) {
  const Tokenizer tokenizer = parsed(small());
  EXPECT_EQ(tokenizer.size(), 10);
  EXPECT_EQ(tokenizer.id_of("<|user|>"), 8);
  EXPECT_EQ(tokenizer.id_of("Ġ"), 5);
  EXPECT_EQ(tokenizer.id_of("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer.token_of(5), "Ġ");
  EXPECT_TRUE(tokenizer.is_special(8));
  EXPECT_FALSE(tokenizer.is_special(9));
  EXPECT_TRUE(tokenizer.is_added(9));
  EXPECT_FALSE(tokenizer.is_added(0));
  EXPECT_FALSE(tokenizer.is_special(-5));
}

TEST(Tokenizer, ReadsControlTokensOnlyWhereTheyAreMeant) {
  const Tokenizer tokenizer = parsed(small());
  EXPECT_EQ(tokenizer.encode("abc<|user|>"), (Ids{4, 8}));
  EXPECT_EQ(tokenizer.encode("abc<|user|>", {.added_tokens = EncodeOptions::AddedTokens::literal}),
            (Ids{4, 7, 7}));  // of the other characters this vocabulary has none
}

TEST(Tokenizer, ReadsIllFormedBytesAsReplacementCharacters) {
  Json json = small();
  json["added_tokens"].push_back({{"id", 10}, {"content", "\uFFFD"}, {"special", true}});
  EXPECT_EQ(parsed(json).encode("ab\xFF\xFE"
                                "c\xE4\xB8"),
            (Ids{3, 10, 10, 2, 10}));
}

TEST(Tokenizer, DecodesToWellFormedTextOnly) {
  Json json = small();
  json["model"]["vocab"]["\u00c3"] = 8;  // the byte C3
  json["model"]["vocab"]["\u00a9"] = 9;  // the byte A9; the added tokens move up
  const Tokenizer tokenizer = parsed(json);
  EXPECT_EQ(tokenizer.decode(Ids{0, 8, 9}), "aé");
  EXPECT_EQ(tokenizer.decode(Ids{0, 8}), "a\uFFFD");
  EXPECT_EQ(tokenizer.decode(Ids{8, 10, 99, -7}), "\uFFFD<|user|>");
  EXPECT_EQ(tokenizer.decode(Ids{0, 10, 11}, {.specials = DecodeOptions::Specials::skip}),
            "a<think>");
}

struct Refusal {
  const char* name;
  const char* path;
  Json value;
  Errc code;
  std::string want;

  friend void PrintTo(const Refusal& row, std::ostream* out) { *out << row.name; }
};

std::vector<Refusal> refusals() {
  return {
      {"model_type", "/model/type", "Morfessor", Errc::unsupported,
       "tokenizer.json: model: type 'Morfessor' is not supported"},
      {"no_model", "/model", nullptr, Errc::corrupt, "tokenizer.json: model is missing"},
      {"normalizer",
       "/normalizer",
       {{"type", "Sequence"}, {"normalizers", {{{"type", "Transliterate"}}}}},
       Errc::unsupported,
       "tokenizer.json: normalizer: type 'Transliterate' is not supported"},
      {"pre_tokenizer",
       "/pre_tokenizer",
       {{"type", "UnicodeScripts"}},
       Errc::unsupported,
       "tokenizer.json: pre_tokenizer: type 'UnicodeScripts' is not supported"},
      {"prepend_scheme",
       "/pre_tokenizer",
       {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}},
       Errc::unsupported,
       "tokenizer.json: pre_tokenizer: Metaspace: prepend_scheme 'last' is not supported"},
      {"replacement",
       "/pre_tokenizer",
       {{"type", "Metaspace"}, {"replacement", "__"}},
       Errc::corrupt,
       "tokenizer.json: pre_tokenizer: Metaspace: replacement is '__', wanted one character"},
      {"charsmap",
       "/normalizer",
       {{"type", "Precompiled"}, {"precompiled_charsmap", "AAE="}},
       Errc::corrupt,
       "tokenizer.json: normalizer: Precompiled: precompiled_charsmap is cut short"},
      {"decoder",
       "/decoder",
       {{"type", "Sequence"}, {"decoders", {{{"type", "Rot13"}}}}},
       Errc::unsupported,
       "tokenizer.json: decoder: type 'Rot13' is not supported"},
      {"unigram_entry",
       "/model",
       {{"type", "Unigram"}, {"vocab", Json::parse(R"([["a", 0.5], ["b"]])")}},
       Errc::corrupt,
       "tokenizer.json: model: Unigram: vocab[1] is not [\"token\", score]"},
      {"unigram_unknown",
       "/model",
       {{"type", "Unigram"}, {"unk_id", 7}, {"vocab", Json::parse(R"([["a", 0.5]])")}},
       Errc::corrupt,
       "tokenizer.json: model: Unigram: unk_id 7 is not in vocab"},
      {"word_piece_unknown",
       "/model",
       {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", {{"a", 0}}}},
       Errc::corrupt,
       "tokenizer.json: model: WordPiece: unk_token '[UNK]' is not in vocab"},
      {"post_processor",
       "/post_processor",
       {{"type", "PairProcessing"}},
       Errc::unsupported,
       "tokenizer.json: post_processor: type 'PairProcessing' is not supported"},
      {"prefix", "/model/continuing_subword_prefix", "##", Errc::corrupt,
       "tokenizer.json: model: BPE: merge 0: 'b' lacks the prefix"},
      {"dropout", "/model/dropout", 0.1, Errc::unsupported,
       "tokenizer.json: model: BPE: dropout 0.1 is not supported"},
      {"merge_out_of_vocab",
       "/model/merges",
       {"a b", "b c"},
       Errc::corrupt,
       "tokenizer.json: model: BPE: merge 1: 'bc' is not in vocab"},
      {"merge_shape",
       "/model/merges",
       {"a b c"},
       Errc::corrupt,
       "tokenizer.json: model: BPE: merge 0: 'a b c' is not two tokens with a space between"},
      {"merge_type",
       "/model/merges",
       {1},
       Errc::corrupt,
       "tokenizer.json: model: BPE: merge 0: neither \"a b\" nor [\"a\", \"b\"]"},
      {"vocab_shape",
       "/model/vocab",
       {1, 2},
       Errc::corrupt,
       "tokenizer.json: model: BPE: vocab is array, wanted an object"},
      {"negative_id", "/model/vocab/a", -1, Errc::exhausted,
       "tokenizer.json: model: BPE: vocab: token id -1 is outside [0, 4194304)"},
      {"huge_id", "/model/vocab/a", 4294967296, Errc::exhausted,
       "tokenizer.json: model: BPE: vocab: token id 4294967296 is outside [0, 4194304)"},
      {"float_id", "/model/vocab/a", 1.5, Errc::corrupt,
       "tokenizer.json: model: BPE: vocab: a token id is a number, wanted an integer"},
      {"same_id", "/model/vocab/b", 0, Errc::corrupt,
       "tokenizer.json: model: BPE: vocab: id 0 belongs to both 'a' and 'b'"},
      {"unknown_unk", "/model/unk_token", "<unk>", Errc::corrupt,
       "tokenizer.json: model: BPE: unk_token '<unk>' is not in vocab"},
      {"added_without_content", "/added_tokens/1/content", nullptr, Errc::corrupt,
       "tokenizer.json: added_tokens[1]: content is missing, wanted a string"},
      {"flag", "/model/ignore_merges", "yes", Errc::corrupt,
       "tokenizer.json: model: BPE: ignore_merges is a string, wanted true or false"},
      {"regex", "/pre_tokenizer", split_pattern("a("), Errc::unsupported,
       "tokenizer.json: pre_tokenizer: Split: regular expression 'a(': missing closing parenthesis "
       "at "
       "offset 2"},
      {"class_intersection", "/pre_tokenizer", split_pattern("[a-z&&[^b]]"), Errc::unsupported,
       "tokenizer.json: pre_tokenizer: Split: regular expression '[a-z&&[^b]]': class intersection "
       "&& "
       "at offset 4"},
  };
}

class TokenizerRefusals : public testing::TestWithParam<Refusal> {};

TEST_P(TokenizerRefusals, NameTheComponent) {
  Json json = small();
  json[Json::json_pointer(GetParam().path)] = GetParam().value;
  auto tokenizer = Tokenizer::parse(json.dump());
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.error().message, GetParam().want);
  EXPECT_EQ(tokenizer.error().code, GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerRefusals, testing::ValuesIn(refusals()),
                         [](const auto& test) { return test.param.name; });

TEST(Tokenizer, RefusesWhatIsNotJson) {
  EXPECT_EQ(Tokenizer::parse("{\"model\":").error().message, "tokenizer.json: not JSON");
  EXPECT_EQ(Tokenizer::parse("[]").error().message,
            "tokenizer.json: a JSON array, wanted an object");
  EXPECT_EQ(Tokenizer::parse(std::string(1 << 20, '[')).error().code, Errc::corrupt);
}

double seconds(const Tokenizer& tokenizer, const std::string& text, std::size_t want_tokens) {
  const auto before = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer.encode(text).size(), want_tokens);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
}

TEST(Tokenizer, EncodesAMillionEqualLettersInOnePiece) {
  const Tokenizer tokenizer = parsed(small());
  EXPECT_LT(seconds(tokenizer, std::string(1'000'000, 'a'), 500'000), 20);
  EXPECT_LT(seconds(tokenizer, std::string(1'000'000, ' '), 1'000'000), 20);
}

TEST(Tokenizer, SurvivesAnExponentialPattern) {
  Json json = small();
  json["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers", {split_pattern("(a+)+$|(b|b)*c"), small()["pre_tokenizer"]}}};
  const Tokenizer tokenizer = parsed(json);
  const std::string text = std::string(5000, 'a') + std::string(5000, 'b') + "<|user|>";
  EXPECT_EQ(tokenizer.encode(text).back(), 8);
}

TEST(Tokenizer, OrdersAMillionMarksInTime) {
  Json json = small();
  json["normalizer"] = {{"type", "NFD"}};
  const Tokenizer tokenizer = parsed(json);
  std::string marks = "a";
  for (int i = 0; i < 500'000; ++i) marks += "\u0301\u0316";  // each pair is out of order
  EXPECT_LT(seconds(tokenizer, marks, 1), 20);
}

Json decoder_of(Json stages) {
  Json json = small();
  json["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(stages)}};
  json["model"]["vocab"] = {{"\u2581", 0}, {"\u2581a", 1}, {"<0xE4>", 2},
                            {"<0xB8>", 3}, {"<0xAD>", 4},  {"b\u2581", 5}};
  json["model"]["merges"] = Json::array();
  json["added_tokens"] = Json::array();
  return json;
}

const Json kByteFallback = {{"type", "ByteFallback"}};
const Json kFuse = {{"type", "Fuse"}};
const Json kSpaces = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};

Json strip_spaces(int start, int stop) {
  return {{"type", "Strip"}, {"content", " "}, {"start", start}, {"stop", stop}};
}

TEST(Detokenizer, HoldsByteTokensUntilTheirRunIsOver) {
  const Tokenizer tokenizer =
      parsed(decoder_of({kSpaces, kByteFallback, kFuse, strip_spaces(1, 0)}));
  Detokenizer detokenizer(tokenizer);
  EXPECT_EQ(detokenizer.push(1), "a");  // the space before the text goes
  EXPECT_EQ(detokenizer.push(2), "");
  EXPECT_EQ(detokenizer.push(3), "");
  EXPECT_EQ(detokenizer.push(4), "");  // a character, but the run may yet prove to be none
  EXPECT_EQ(detokenizer.push(1), "中 a");
  EXPECT_EQ(detokenizer.push(2), "");
  EXPECT_EQ(detokenizer.push(2), "\uFFFD\uFFFD");  // cannot become text any more
  EXPECT_EQ(detokenizer.push(3), "\uFFFD");
  EXPECT_EQ(detokenizer.push(1), " a");
  EXPECT_EQ(detokenizer.push(2), "");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
  EXPECT_EQ(detokenizer.push(1), "a");  // another text
}

TEST(Detokenizer, StripsTheEndOnlyWhereItIsTheEnd) {
  const Tokenizer tokenizer = parsed(decoder_of({kSpaces, kFuse, strip_spaces(2, 2)}));
  Detokenizer detokenizer(tokenizer);
  EXPECT_EQ(detokenizer.push(0), "");
  EXPECT_EQ(detokenizer.push(1), "a");
  EXPECT_EQ(detokenizer.push(0), "");
  EXPECT_EQ(detokenizer.push(0), "");
  EXPECT_EQ(detokenizer.push(0), " ");  // at most two can go
  EXPECT_EQ(detokenizer.push(5), "  b");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Tokenizer, TakesAnyBytes) {
  const Tokenizer tokenizer = parsed(small());
  const unsigned seed = 7;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    for (const std::int32_t id : tokenizer.encode(bytes)) EXPECT_LT(id, tokenizer.size());
  }
}

}  // namespace
}  // namespace glm::runner
