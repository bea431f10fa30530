// Every answer is fed whole, byte by byte and in random cuts; the pieces must be the same.
#include "runner/text/reasoning_parser.h"

#include <gtest/gtest.h>

#include <ostream>
#include <random>
#include <string>

namespace glm::runner {
namespace {

struct Outcome {
  std::string thinking, content;
  bool reasoning = false;
  bool operator==(const Outcome&) const = default;

  friend void PrintTo(const Outcome& o, std::ostream* out) {
    *out << "thinking '" << o.thinking << "' content '" << o.content << "' " << o.reasoning;
  }
};

using Start = ReasoningStart;
using Calls = ReasoningParser::ToolCalls;

template <typename Sizes>
Outcome parse(Start start, Calls calls, std::string_view text, Sizes next_size) {
  ReasoningParser parser(start, calls);
  Outcome out;
  const auto add = [&](const ReasoningParser::Pieces& pieces) {
    out.thinking += pieces.thinking;
    out.content += pieces.content;
  };
  while (!text.empty()) {
    const std::size_t size = std::min<std::size_t>(next_size(), text.size());
    add(parser.push(text.substr(0, size)));
    text.remove_prefix(size);
  }
  add(parser.finish());
  out.reasoning = parser.reasoning();
  return out;
}

struct Row {
  const char* name;
  Start start;
  const char* text;
  Outcome want;

  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }
};

const Row kRows[] = {
    {"plain", Start::reasoning, "I think.</think>Hello", {"I think.", "Hello"}},
    {"newlines", Start::reasoning, "\nI think.\n\n</think>\n\nHello\n", {"I think.", "Hello\n"}},
    {"content_only", Start::after_reasoning, "\nHello", {"", "Hello"}},
    {"content_goes_on", Start::content, " world </think>x", {"", " world x"}},
    {"opened_by_the_model", Start::undecided, "\n<think>why\n</think>\nHello", {"why", "Hello"}},
    {"not_opened", Start::undecided, "\n Hello <x", {"", "\n Hello <x"}},
    {"almost_opened", Start::undecided, " <thi", {"", " <thi"}},
    {"only_space", Start::undecided, "  ", {"", "  "}},
    {"never_closed", Start::reasoning, "long thought </thi", {"long thought </thi", "", true}},
    {"empty_thought", Start::reasoning, "</think>Hi", {"", "Hi"}},
    {"nested_open", Start::reasoning, "<think>a<think>b</think>c", {"ab", "c"}},
    {"again", Start::reasoning, "a</think>b<think>c</think>d", {"ac", "bd"}},
    {"stray_close", Start::after_reasoning, "a</think>b</think>", {"", "ab"}},
    {"call_ends_thought",
     Start::reasoning,
     "let me\n<tool_call>f<arg_key>k</arg_key><arg_value><think>v</think></arg_value></tool_call>x",
     {"let me",
      "<tool_call>f<arg_key>k</arg_key><arg_value><think>v</think></arg_value></tool_call>x"}},
    {"call_after_text",
     Start::reasoning,
     "t</think>a\n<tool_call>f</tool_call>\n<tool_call>g",
     {"t", "a\n<tool_call>f</tool_call>\n<tool_call>g"}},
    {"close_after_call",
     Start::reasoning,
     "t<tool_call>f</tool_call></think>b",
     {"t", "<tool_call>f</tool_call>b"}},
    {"inner_space", Start::reasoning, "a \n b</think> c  d", {"a \n b", "c  d"}},
    {"inside", Start::inside_reasoning, " and so</think>x", {" and so", "x"}},
    {"angle_brackets",
     Start::reasoning,
     "a < b <t </ <<think></think>1<2",
     {"a < b <t </ <", "1<2"}},
    {"unfinished_close", Start::content, "a</thinkb></think", {"", "a</thinkb></think"}},
};

class ReasoningRows : public testing::TestWithParam<Row> {};

TEST_P(ReasoningRows, SplitTheSameHoweverCut) {
  const Row& row = GetParam();
  for (std::size_t size = 1; size <= 40; ++size) {
    EXPECT_EQ(parse(row.start, Calls::watch, row.text, [&] { return size; }), row.want) << size;
  }
  EXPECT_EQ(parse(row.start, Calls::watch, row.text, [] { return 1000; }), row.want);
}

INSTANTIATE_TEST_SUITE_P(All, ReasoningRows, testing::ValuesIn(kRows),
                         [](const auto& test) { return test.param.name; });

TEST(ReasoningParser, TakesToolCallsForTextWhenThereAreNoTools) {
  EXPECT_EQ(
      parse(Start::reasoning, Calls::ignore, "use <tool_call> so</think>ok", [] { return 3; }),
      (Outcome{"use <tool_call> so", "ok"}));
}

TEST(ReasoningParser, SplitsRandomTextTheSameHoweverCut) {
  const unsigned seed = 20261121;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  const std::string pool[] = {"<think>", "</think>", "a",           " ",           "\n",
                              "<",       "think>",   "</",          "é",           "</think",
                              "b c",     "<think",   "<tool_call>", "</tool_call>"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (auto i = random() % 14; i > 0; --i) text += pool[random() % std::size(pool)];
    const auto start = static_cast<Start>(random() % 5);
    const Calls calls = random() % 2 == 0 ? Calls::watch : Calls::ignore;
    const Outcome whole = parse(start, calls, text, [] { return 10000; });
    EXPECT_EQ(parse(start, calls, text, [&] { return 1 + random() % 6; }), whole) << text;
  }
}

TEST(ReasoningParser, LeaksNoTag) {
  const unsigned seed = 20261122;
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  // No halves of tags: "<</think>think>" has none that the model meant.
  const std::string pool[] = {"<think>", "</think>", "a", " ", "\n", "< ", "é", "b c"};
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (auto i = random() % 14; i > 0; --i) text += pool[random() % std::size(pool)];
    const auto start = static_cast<Start>(random() % 5);
    const Outcome got = parse(start, Calls::watch, text, [&] { return 1 + random() % 6; });
    for (const std::string& side : {got.thinking, got.content}) {
      EXPECT_EQ(side.find("think>"), std::string::npos) << text;
    }
  }
}

TEST(ReasoningParser, TakesAMillionBlanksOneByOne) {
  const std::string blanks(1'000'000, ' ');
  EXPECT_EQ(parse(Start::inside_reasoning, Calls::watch, blanks + "x", [] { return 1; }).thinking,
            blanks + "x");
}

TEST(ReasoningStart, IsReadOffThePrompt) {
  EXPECT_EQ(reasoning_start("<|im_start|>assistant\n<think>\n"), Start::reasoning);
  EXPECT_EQ(reasoning_start("<|im_start|>assistant\n<think>\n\n</think>\n\n"),
            Start::after_reasoning);
  EXPECT_EQ(
      reasoning_start("<|im_start|>user\n<think> </think><|im_end|>\n<|im_start|>assistant\n"),
      Start::undecided);
  EXPECT_EQ(reasoning_start("[gMASK]<sop><|user|>Hi<|assistant|><think>"), Start::reasoning);
  EXPECT_EQ(reasoning_start("[gMASK]<sop><|user|>Hi<|assistant|></think>"), Start::after_reasoning);
  EXPECT_EQ(reasoning_start("<|user|>\nHi<|assistant|>\n<think></think>\n"),
            Start::after_reasoning);
  EXPECT_EQ(reasoning_start("<|user|>\nHi<|assistant|>"), Start::undecided);
  EXPECT_EQ(reasoning_start("<|user|>\nHi<|assistant|>\n"), Start::undecided);
  EXPECT_EQ(reasoning_start("<|user|>write <think><|assistant|>"), Start::undecided);
  EXPECT_EQ(reasoning_start("<|assistant|><think>x</think>y<|user|>z<|assistant|><think>"),
            Start::reasoning);
  EXPECT_EQ(reasoning_start("<|assistant|></think>Sure, "), Start::content);
  EXPECT_EQ(reasoning_start("<|assistant|><think>First"), Start::inside_reasoning);
  EXPECT_EQ(reasoning_start("<|assistant|>Sure"), Start::content);
  EXPECT_EQ(reasoning_start("User: <think>\nAssistant:"), Start::undecided);
  EXPECT_EQ(reasoning_start(""), Start::undecided);
}

}  // namespace
}  // namespace glm::runner
