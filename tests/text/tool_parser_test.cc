// Every answer is fed whole, byte by byte and in random cuts; the joined events must be the same.
#include "runner/text/tool_parser.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <random>
#include <string>

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;
using Kind = ToolEvent::Kind;
using Unknown = ToolParser::UnknownTools;

const Json& tools() {
  static const Json list = Json::parse(R"([
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {
      "city": {"type": "string"}, "days": {"type": "integer"}, "opts": {"type": "object"}}}}},
    {"name": "f"}, {"type": "function", "function": {"name": "write", "parameters": {"properties": {
      "path": {"type": "string"}, "text": {"type": "string"}, "mode": {"type": ["string", "integer"]}}}}}])");
  return list;
}

// "text|[call name {arguments}]…": the events as one line, adjacent text joined. Checks on the way
// that the pieces of the arguments join to the whole.
class Log {
 public:
  void add(const std::vector<ToolEvent>& events) {
    for (const ToolEvent& event : events) {
      switch (event.kind) {
        case Kind::text:
          EXPECT_EQ(event.index, -1);
          line_ += event.text;
          break;
        case Kind::call_begin:
          EXPECT_EQ(event.index, calls_);
          pieces_.clear();
          line_ += "[" + event.name + " ";
          break;
        case Kind::arguments:
          EXPECT_EQ(event.index, calls_);
          pieces_ += event.text;
          break;
        case Kind::call_end:
          EXPECT_EQ(pieces_, event.text);
          EXPECT_TRUE(Json::accept(event.text)) << event.text;
          line_ += event.text + "]";
          ++calls_;
          break;
        case Kind::call_cut_off:
          EXPECT_EQ(pieces_, event.text);
          EXPECT_FALSE(Json::accept(event.text)) << event.text;
          line_ += event.text + "...";
          break;
      }
    }
  }
  const std::string& line() const { return line_; }
  std::int32_t calls() const { return calls_; }

 private:
  std::string line_, pieces_;
  std::int32_t calls_ = 0;
};

template <typename Sizes>
std::string parse(std::string_view text, Sizes next_size, Unknown unknown = Unknown::as_text,
                  const Json& list = tools(), CallLayout layout = CallLayout::arg_tags,
                  ToolParser::End end = ToolParser::End::turn) {
  ToolParser parser(list, unknown, layout);
  Log log;
  while (!text.empty()) {
    const std::size_t size = std::min<std::size_t>(next_size(), text.size());
    log.add(parser.push(text.substr(0, size)));
    text.remove_prefix(size);
  }
  log.add(parser.finish(end));
  EXPECT_EQ(parser.calls(), log.calls());
  return log.line();
}

struct Row {
  const char* name;
  const char* text;
  const char* want;

  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

const Row kRows[] = {
    {"no_call", "just text < with <tool things ", "just text < with <tool things "},
    {"one",
     "Let me check.<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>"
     "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
     R"(Let me check.[get_weather {"city":"Paris","days":2}])"},
    {"glm_4_5",
     "\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n"
     "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n",
     R"([get_weather {"city":"Paris","days":2}])"},
    {"glm_4_5_value_on_its_own_lines",
     "<tool_call>write\n<arg_key>text</arg_key>\n<arg_value>\na\n\n b\n</arg_value>\n</tool_call>",
     R"([write {"text":"a\n\n b"}])"},
    {"two",
     "<tool_call>f</tool_call>\n<tool_call>get_weather<arg_key>opts</arg_key><arg_value>"
     "{\"u\": \"é\", \"n\": null}</arg_value></tool_call>",
     R"([f {}][get_weather {"opts":{"u":"é","n":null}}])"},
    {"text_between_and_after", "a\n<tool_call>f</tool_call> b <tool_call>f</tool_call>\n c \n",
     "a[f {}] b[f {}]\n c \n"},
    {"raw_values",
     "<tool_call>write<arg_key>text</arg_key><arg_value>  if a < b && c: \"x\"\n\t</p></arg_value>"
     "</tool_call>",
     R"([write {"text":"  if a < b && c: \"x\"\n\t</p>"}])"},
    {"json_looking_text",
     "<tool_call>write<arg_key>text</arg_key><arg_value>{\"a\": 1}</arg_value></tool_call>",
     R"([write {"text":"{\"a\": 1}"}])"},
    {"union",
     "<tool_call>write<arg_key>mode</arg_key><arg_value>7</arg_value><arg_key>mode2</arg_key>"
     "<arg_value>[1, 2]</arg_value></tool_call>",
     R"([write {"mode":7,"mode2":[1,2]}])"},
    {"key_is_escaped", "<tool_call>f<arg_key>a\"b</arg_key><arg_value>x</arg_value></tool_call>",
     R"([f {"a\"b":"x"}])"},
    {"empty_value", "<tool_call>write<arg_key>text</arg_key><arg_value></arg_value></tool_call>",
     R"([write {"text":""}])"},
    {"spaces",
     "<tool_call> \n get_weather  <arg_key> city </arg_key>  <arg_value> P </arg_value> "
     "</tool_call>",
     R"([get_weather {"city":" P "}])"},
    {"unknown_tool",
     "x <tool_call>nothing<arg_key>a</arg_key><arg_value>b</arg_value></tool_call> y",
     "x <tool_call>nothing<arg_key>a</arg_key><arg_value>b</arg_value></tool_call> y"},
    {"unknown_then_known", "<tool_call>what <tool_call>f</tool_call>", "<tool_call>what[f {}]"},
    {"no_closer", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>",
     R"([get_weather {"city":"Paris"}])"},
    {"cut_off_value", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Par",
     R"([get_weather {"city":"Par"}])"},
    {"cut_off_key",
     "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>da",
     R"([get_weather {"city":"Paris"}])"},
    {"cut_off_name", "<tool_call>get_weat", "<tool_call>get_weat"},
    {"whole_name_cut_off", "<tool_call>get_weather", "[get_weather {}]"},
    {"value_without_closer",
     "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris"
     "<arg_key>days</arg_key><arg_value>3</tool_call>x",
     R"([get_weather {"city":"Paris","days":3}]x)"},
    {"value_without_opener",
     "<tool_call>get_weather<arg_key>city</arg_key>Paris</arg_value></tool_call>",
     R"([get_weather {"city":"Paris"}])"},
    {"key_without_closer",
     "<tool_call>get_weather<arg_key>city<arg_value>Paris</arg_value></tool_call>",
     R"([get_weather {"city":"Paris"}])"},
    {"dangling_key",
     "<tool_call>get_weather<arg_key>city</arg_key><arg_key>days</arg_key><arg_value>1"
     "</arg_value><arg_key>opts</arg_key></tool_call>",
     R"([get_weather {"days":1}])"},
    {"missing_call_closer",
     "<tool_call>get_weather<arg_key>days</arg_key><arg_value>1</arg_value>\n"
     "<tool_call>f</tool_call>",
     R"([get_weather {"days":1}][f {}])"},
    {"json_payload",
     "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"P\", \"days\": "
     "2}}\n</tool_call>",
     R"([get_weather {"city":"P","days":2}])"},
    {"json_payload_text_arguments",
     R"(<tool_call>{"name": "f", "parameters": "{\"a\": 1}"}</tool_call>)", R"([f {"a":1}])"},
    {"json_payload_unknown", R"(<tool_call> {"name": "zzz"}</tool_call>)",
     R"(<tool_call> {"name": "zzz"}</tool_call>)"},
    {"json_payload_broken", R"(<tool_call>{"name": <tool_call>f</tool_call>)",
     R"(<tool_call>{"name":[f {}])"},
    {"json_payload_cut_off", R"(<tool_call>{"name": "f"})", "[f {}]"},
    {"junk_between",
     "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value>junk</arg_value><arg_key>b</arg_key>"
     "<arg_value>2</arg_value></tool_call>",
     R"([f {"a":1,"b":2}])"},
    {"space_only_at_the_end", "<tool_call>f</tool_call>\n\n", "[f {}]"},
    {"empty_name", "<tool_call></tool_call>", "<tool_call></tool_call>"},
    {"stray_closers", "a</tool_call></arg_value>b", "a</tool_call></arg_value>b"},
};

class ToolRows : public testing::TestWithParam<Row> {};

TEST_P(ToolRows, ParseTheSameHoweverCut) {
  const Row& row = GetParam();
  EXPECT_EQ(parse(row.text, [] { return 100000; }), row.want);
  for (std::size_t size = 1; size <= 30; ++size) {
    EXPECT_EQ(parse(row.text, [&] { return size; }), row.want) << size;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ToolRows, testing::ValuesIn(kRows),
                         [](const auto& test) { return test.param.name; });

const Row kCutOffRows[] = {
    {"value", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Par",
     R"([get_weather {"city":"Par...)"},
    {"value_at_a_tag", "<tool_call>write<arg_key>text</arg_key><arg_value>a\n</arg_va",
     R"([write {"text":"a\n...)"},
    {"empty_value", "<tool_call>write<arg_key>text</arg_key><arg_value>", R"([write {"text":"...)"},
    {"number", "<tool_call>get_weather<arg_key>days</arg_key><arg_value>1",
     R"([get_weather {"days":...)"},
    {"after_a_value", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>",
     R"([get_weather {"city":"Paris"...)"},
    {"key", "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>da",
     R"([get_weather {"city":"Paris"...)"},
    {"first_key", "a<tool_call>get_weather<arg_key>ci", "a[get_weather {..."},
    {"glm_4_5", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>\nPar\n",
     R"([get_weather {"city":"Par...)"},
    {"name", "<tool_call>get_weather", "<tool_call>get_weather"},
    {"second", "<tool_call>f</tool_call><tool_call>f<arg_key>a</arg_key>", "[f {}][f {..."},
    {"behind", "<tool_call>f</tool_call>\nand", "[f {}]\nand"},
    {"json", R"(<tool_call>{"name": "f", "argu)", R"(<tool_call>{"name": "f", "argu)"},
};

TEST(ToolParser, LeavesOpenWhatWasCutOff) {
  for (const Row& row : kCutOffRows) {
    SCOPED_TRACE(row.name);
    for (const std::size_t size : {100000, 1, 2, 3, 7}) {
      EXPECT_EQ(parse(
                    row.text, [&] { return size; }, Unknown::as_text, tools(), CallLayout::arg_tags,
                    ToolParser::End::cut_off),
                row.want)
          << size;
    }
  }
}

TEST(ToolParser, CanTakeUnknownToolsForCalls) {
  const char* text = "<tool_call>zzz<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>";
  EXPECT_EQ(parse(
                text, [] { return 3; }, Unknown::as_calls),
            R"([zzz {"a":1}])");
  EXPECT_EQ(parse(
                text, [] { return 3; }, Unknown::as_calls, Json()),
            R"([zzz {"a":1}])");
}

TEST(ToolParser, WithoutToolsPassesEverything) {
  const char* text = "a <tool_call>f</tool_call> ";
  EXPECT_EQ(parse(
                text, [] { return 1; }, Unknown::as_text, Json()),
            text);
  EXPECT_EQ(parse(
                text, [] { return 1; }, Unknown::as_text, Json::array()),
            text);
}

TEST(ToolParser, StreamsTextValuesAsTheyCome) {
  ToolParser parser(tools());
  EXPECT_EQ(parser.push("<tool_call>write<arg_key>text</arg_key><arg_value>ab").back().text, "ab");
  EXPECT_EQ(parser.push("cd\n").back().text, "cd\\n");
  EXPECT_TRUE(parser.push("</arg_va").empty());
  EXPECT_EQ(parser.push("x").back().text, "</arg_vax");
  EXPECT_EQ(parser.push("</arg_value>").back().text, "\"");
  EXPECT_EQ(parser.push("</tool_call>").back().text, R"({"text":"abcd\n</arg_vax"})");
}

TEST(ToolParser, GivesTheNameAtOnceAndWhole) {
  ToolParser parser(tools());
  EXPECT_TRUE(parser.push("<tool_call>get_wea").empty());
  EXPECT_TRUE(parser.push("ther").empty());
  const auto events = parser.push("<arg_key>");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Kind::call_begin);
  EXPECT_EQ(events[0].name, "get_weather");
}

TEST(ToolParser, ParsesRandomTextTheSameHoweverCut) {
  const unsigned seed = 20261121;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string pool[] = {"<tool_call>",
                              "</tool_call>",
                              "<arg_key>",
                              "</arg_key>",
                              "<arg_value>",
                              "</arg_value>",
                              "f",
                              "get_weather",
                              "city",
                              "days",
                              "\n",
                              " ",
                              "{",
                              "}",
                              "\"name\":",
                              "\"f\"",
                              "12",
                              "<",
                              "</",
                              "<arg_",
                              "é",
                              "text",
                              "<tool_call",
                              R"({"name": "f"})",
                              std::string(300, 'n')};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (auto i = random() % 16; i > 0; --i) text += pool[random() % std::size(pool)];
    const Unknown unknown = random() % 2 == 0 ? Unknown::as_text : Unknown::as_calls;
    const std::string whole = parse(
        text, [] { return 100000; }, unknown);
    ASSERT_EQ(parse(
                  text, [&] { return 1 + random() % 9; }, unknown),
              whole)
        << text;
    ASSERT_EQ(parse(
                  text, [] { return 1; }, unknown),
              whole)
        << text;
    const auto cut_off = [&](auto next_size) {
      return parse(text, next_size, unknown, tools(), CallLayout::arg_tags,
                   ToolParser::End::cut_off);
    };
    ASSERT_EQ(cut_off([&] { return 1 + random() % 9; }), cut_off([] { return 100000; })) << text;
    const auto json = [&](auto next_size) {
      return parse(text, next_size, unknown, tools(), CallLayout::json);
    };
    ASSERT_EQ(json([&] { return 1 + random() % 9; }), json([] { return 100000; })) << text;
  }
}

const Row kJsonRows[] = {
    {"one",
     "Hm.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"b\": 1.50, \"a\": "
     "\"é\\n\"}}\n</tool_call>",
     R"(Hm.[f {"b":1.5,"a":"é\n"}])"},
    {"two",
     "<tool_call>\n{\"name\": \"f\", \"arguments\": "
     "{}}\n</tool_call>\n<tool_call>\n{\"arguments\": "
     "{\"city\": \"</arg_key>\"}, \"name\": \"get_weather\"}\n</tool_call>",
     R"([f {}][get_weather {"city":"</arg_key>"}])"},
    {"no_arguments", R"(<tool_call>{"name": "f"}</tool_call>)", "[f {}]"},
    {"arguments_as_text", R"(<tool_call>{"name": "f", "arguments": "{\"a\": 1}"}</tool_call>)",
     R"([f {"a":1}])"},
    {"parameters", R"(<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>)",
     R"([f {"a":1}])"},
    {"no_closer", R"(<tool_call>{"name": "f", "arguments": {"a": [1, 2]}})", R"([f {"a":[1,2]}])"},
    {"no_json", "<tool_call>{\"name\": \"f\"</tool_call> x",
     "<tool_call>{\"name\": \"f\"</tool_call> x"},
    {"cut_off", "<tool_call>{\"name\": \"f\", \"argu", "<tool_call>{\"name\": \"f\", \"argu"},
    {"unknown_tool", R"(<tool_call>{"name": "nothing", "arguments": {}}</tool_call>)",
     R"(<tool_call>{"name": "nothing", "arguments": {}}</tool_call>)"},
    {"other_layout", "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>",
     "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"},
    {"bare_name", "<tool_call>f", "<tool_call>f"},
};

class JsonCalls : public testing::TestWithParam<Row> {};

TEST_P(JsonCalls, AreFoundHoweverTheTextIsCut) {
  const auto got = [&](auto next_size) {
    return parse(GetParam().text, next_size, Unknown::as_text, tools(), CallLayout::json);
  };
  EXPECT_EQ(got([] { return 100000; }), GetParam().want);
  EXPECT_EQ(got([] { return 1; }), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(All, JsonCalls, testing::ValuesIn(kJsonRows),
                         [](const auto& test) { return test.param.name; });

TEST(ToolParser, FindsNothingInALayoutWithoutCalls) {
  const std::string text = "<tool_call>f</tool_call>";
  EXPECT_EQ(parse(
                text, [] { return 5; }, Unknown::as_calls, tools(), CallLayout::none),
            text);
}

TEST(ToolParser, TakesDeeplyNestedValuesAsText) {
  const std::string deep(200'000, '[');
  const std::string closed = deep + std::string(200'000, ']');
  EXPECT_EQ(
      parse("<tool_call>f<arg_key>a</arg_key><arg_value>" + closed + "</arg_value></tool_call>",
            [] { return 9999; }),
      "[f {\"a\":\"" + closed + "\"}]");
  const std::string call =
      R"(<tool_call>{"name": "f", "arguments": {"a": )" + closed + "}}</tool_call>";
  EXPECT_EQ(parse(
                call, [] { return 9999; }, Unknown::as_text, tools(), CallLayout::json),
            call);
}

TEST(ToolParser, TakesALongAnswerInLinearTime) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += "<tool_call>{";
  EXPECT_EQ(parse(text, [] { return 1'000'000; }), text);
  const std::string value(2'000'000, 'v');
  EXPECT_EQ(parse("<tool_call>f<arg_key>a</arg_key><arg_value>" + value, [] { return 7; }),
            "[f {\"a\":\"" + value + "\"}]");
}

}  // namespace
}  // namespace glm::runner
