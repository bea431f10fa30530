// What the golden file cannot show: messages with their places, limits, and what goes beyond Jinja.
#include "runner/text/chat_template.h"

#include <gtest/gtest.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

Result<std::string> render(const std::string& source, const Json& context = Json::object()) {
  return GLM_TRY(ChatTemplate::parse(source)).render(context);
}

struct ErrorCase {
  const char* name;
  std::string source;
  Errc code;
  std::string want;

  friend void PrintTo(const ErrorCase& row, std::ostream* out) { *out << row.name; }
};

const ErrorCase kErrors[] = {
    {"undefined", "one\n  {{ 1 + missing }}", Errc::invalid_argument,
     "chat template: line 2, column 8: 'missing' is undefined"},
    {"attribute_of_undefined", "{% if true %}\n{{ messages[0].content.parts.x }}\n{% endif %}",
     Errc::invalid_argument, "chat template: line 2, column 12: 'messages' is undefined"},
    {"inside_a_macro", "{% macro m(a) %}\n{{ a|upper }}{{ a / 0 }}\n{% endmacro %}\n{{ m(3) }}",
     Errc::invalid_argument, "chat template: line 2, column 19: division by zero"},
    {"raised", "{% if true %}{{ raise_exception('Roles must alternate') }}{% endif %}",
     Errc::invalid_argument, "chat template: Roles must alternate"},
    {"filter_name", "{{ 'a' | uper }}", Errc::invalid_argument,
     "chat template: line 1, column 10: no filter named 'uper', did you mean 'upper'?"},
    {"test_name", "{{ 'a' is strng }}", Errc::invalid_argument,
     "chat template: line 1, column 11: no test named 'strng', did you mean 'string'?"},
    {"argument", "{{ 'a' | replace('a') }}", Errc::invalid_argument,
     "chat template: line 1, column 10: replace() is missing its argument 'new'"},
    {"keyword", "{{ 1 | tojson(idnent=2) }}", Errc::invalid_argument,
     "chat template: line 1, column 8: tojson() got an unexpected keyword argument 'idnent'"},
    {"types", "{{ 'a' + 1 }}", Errc::invalid_argument,
     "chat template: line 1, column 8: unsupported operand types for +: 'str' and 'int'"},
    {"order", "{{ 'é' ~ ('a' < 1) }}", Errc::invalid_argument,
     "chat template: line 1, column 15: '<' not supported between instances of 'str' and 'int'"},
    {"unclosed_tag", "{% if x", Errc::invalid_argument,
     "chat template: line 1, column 1: missing end of statement block"},
    {"unclosed_if", "{% if x %}\n{{ 1 }}", Errc::invalid_argument,
     "chat template: line 2, column 8: unexpected end of template, 'if' is not closed by 'elif' or "
     "'else' or 'endif'"},
    {"wrong_end", "{% for a in b %}{% endif %}", Errc::invalid_argument,
     "chat template: line 1, column 20: unknown tag 'endif' inside 'for'"},
    {"unknown_tag", "\n\n{% fro a in b %}", Errc::invalid_argument,
     "chat template: line 3, column 4: unknown tag 'fro'"},
    {"include", "{% include 'x' %}", Errc::unsupported,
     "chat template: line 1, column 4: 'include' needs other template files, which a chat template "
     "does not have"},
    {"bracket", "{{ (1, 2] }}", Errc::invalid_argument,
     "chat template: line 1, column 9: unexpected ']', expected ')'"},
    {"character", "{{ 1 ? 2 }}", Errc::invalid_argument,
     "chat template: line 1, column 6: unexpected character '?'"},
    {"string", "{{ 'abc }}", Errc::invalid_argument,
     "chat template: line 1, column 4: a string is not closed"},
    {"break", "{% if true %}{% break %}{% endif %}", Errc::invalid_argument,
     "chat template: line 1, column 17: 'break' outside of a loop"},
    {"break_in_a_macro", "{% for a in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
     Errc::invalid_argument, "chat template: line 1, column 37: 'break' outside of a loop"},
    {"unpack", "{% for a, b in [[1, 2], [3]] %}{% endfor %}", Errc::invalid_argument,
     "chat template: line 1, column 8: cannot unpack 1 values into 2 variables"},
    {"namespace", "{% set a = {} %}{% set a.b = 1 %}", Errc::invalid_argument,
     "chat template: line 1, column 24: cannot assign attribute 'b' of 'a', which is no namespace"},
    {"not_utf8", "\xFF", Errc::invalid_argument, "chat template: the template is not UTF-8 text"},
    {"number", "{{ 123456789012345678901234 }}", Errc::invalid_argument,
     "chat template: line 1, column 4: '123456789012345678901234' is not an integer of 64 bits"},
};

class ChatTemplateErrors : public testing::TestWithParam<ErrorCase> {};

TEST_P(ChatTemplateErrors, NameThePlace) {
  auto rendered = render(GetParam().source);
  ASSERT_FALSE(rendered.ok()) << *rendered;
  EXPECT_EQ(rendered.error().message, GetParam().want);
  EXPECT_EQ(rendered.error().code, GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(All, ChatTemplateErrors, testing::ValuesIn(kErrors),
                         [](const auto& test) { return test.param.name; });

// Each would take all memory, all time or the whole stack.
const ErrorCase kHostile[] = {
    {"endless_macro", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", Errc::exhausted, ""},
    {"long_loop",
     "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
     Errc::exhausted, ""},
    {"big_text", "{{ 'abcdefgh' * 1000000000000 }}", Errc::exhausted, ""},
    {"doubling_text",
     "{% set ns = namespace(t='aaaaaaaa') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}"
     "{% endfor %}",
     Errc::exhausted, ""},
    {"doubling_list",
     "{% set ns = namespace(t=[1, 2, 3, 4]) %}{% for i in range(99) %}{% set ns.t = ns.t + ns.t %}"
     "{% endfor %}",
     Errc::exhausted, ""},
    {"big_list", "{{ ([1, 2, 3] * 100000000000)[0] }}", Errc::exhausted, ""},
    {"replace_blows_up", "{% set a = 'a' * 100000 %}{{ a | replace('a', a) }}", Errc::exhausted,
     ""},
    {"join_blows_up", "{% set a = 'a' * 1000000 %}{{ ([a] * 1000) | join(a) }}", Errc::exhausted,
     ""},
    {"deep_data",
     "{% set ns = namespace(t=[]) %}{% for i in range(100000) %}{% set ns.t = [ns.t] %}{% endfor %}"
     "{{ ns.t }}",
     Errc::exhausted, ""},
    {"deep_json",
     "{% set ns = namespace(t=[]) %}{% for i in range(1000) %}{% set ns.t = [ns.t] %}{% endfor %}"
     "{{ ns.t | tojson }}",
     Errc::exhausted, ""},
    {"circle", "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}", Errc::exhausted, ""},
    {"circular_list", "{% set a = [1] %}{% if a.append(a) %}{% endif %}{{ a | tojson }}",
     Errc::exhausted, ""},
    {"big_power", "{{ 10 ** 10 ** 10 }}", Errc::exhausted, ""},
    {"big_number", "{{ 2 ** 63 * 2 ** 63 * 4 }}", Errc::exhausted, ""},
    {"big_padding", "{{ '%999999999d' % 1 }}{{ 'a'.ljust(99999999999) }}", Errc::exhausted, ""},
    {"recursive_loop",
     "{% set ns = namespace(l=[]) %}{% set a = [1] %}{% if a.append(a) %}{% endif %}"
     "{% for x in [a] recursive %}{{ loop(a) }}{% endfor %}",
     Errc::exhausted, ""},
    {"deep_parentheses", "{{ " + std::string(100000, '(') + "1" + std::string(100000, ')') + " }}",
     Errc::exhausted, ""},
    {"deep_lists", "{{ " + std::string(5000, '[') + std::string(5000, ']') + " }}", Errc::exhausted,
     ""},
    {"many_minus", "{{ " + std::string(100000, '-') + "1 }}", Errc::exhausted, ""},
    {"many_nots",
     "{{ " +
         [] {
           std::string s;
           for (int i = 0; i < 50000; ++i) s += "not ";
           return s;
         }() +
         "1 }}",
     Errc::exhausted, ""},
    {"long_sum",
     "{{ 1" +
         [] {
           std::string s;
           for (int i = 0; i < 50000; ++i) s += "+1";
           return s;
         }() +
         " }}",
     Errc::exhausted, ""},
    {"long_path",
     "{{ a" +
         [] {
           std::string s;
           for (int i = 0; i < 50000; ++i) s += ".a";
           return s;
         }() +
         " }}",
     Errc::exhausted, ""},
    {"many_ifs",
     [] {
       std::string s;
       for (int i = 0; i < 5000; ++i) s += "{% if 1 %}";
       return s;
     }(),
     Errc::exhausted, ""},
    {"big_output", "{% set a = 'a' * 1000000 %}{% for i in range(1000) %}{{ a }}{% endfor %}",
     Errc::exhausted, ""},
};

class ChatTemplateHostile : public testing::TestWithParam<ErrorCase> {};

TEST_P(ChatTemplateHostile, IsStopped) {
  auto rendered = render(GetParam().source);
  ASSERT_FALSE(rendered.ok()) << rendered->substr(0, 100);
  EXPECT_EQ(rendered.error().code, GetParam().code) << rendered.error().message;
}

INSTANTIATE_TEST_SUITE_P(All, ChatTemplateHostile, testing::ValuesIn(kHostile),
                         [](const auto& test) { return test.param.name; });

TEST(ChatTemplate, ComparesCircularDataWithoutEnd) {
  EXPECT_EQ(
      *render("{% set a = [1] %}{% set b = [1] %}{% if a.append(a) or b.append(b) %}{% endif %}"
              "{{ a == a }} {{ a == b }}"),
      "True False");
}

TEST(ChatTemplate, LetsTemplatesChangeTheirOwnLists) {
  EXPECT_EQ(*render("{% set a = [1] %}{% set _ = a.append(2) %}{% set p = a.pop(0) %}"
                    "{% set _ = a.extend([3]) %}{% set _ = a.insert(0, p) %}{{ a }}{{ p }}"),
            "[1, 2, 3]1");
  const Json context = {{"list", {1, 2}}};
  EXPECT_EQ(*render("{{ list.pop() }}{{ list }}", context), "2[1]");
  EXPECT_EQ(context["list"].size(), 2u);
}

TEST(ChatTemplate, TreatsBlocksAndAutoescapeAsTheirBodies) {
  EXPECT_EQ(
      *render("{% block body %}a{% endblock body %}{% autoescape false %}<{% endautoescape %}"),
      "a<");
}

TEST(ChatTemplate, KeepsTheOrderOfKeysAndTheSpellingOfNumbers) {
  const Json tools =
      Json::parse(R"({"z": 1.0, "a": 18446744073709551615, "m": [1e-05, -0.0, 1e22]})");
  EXPECT_EQ(*render("{{ t | tojson }}", {{"t", tools}}),
            R"({"z": 1.0, "a": 18446744073709551615, "m": [1e-05, -0.0, 1e+22]})");
}

TEST(ChatTemplate, SaysWhatItMentions) {
  const auto parsed =
      ChatTemplate::parse("{% if tools %}{{ m.reasoning_content }}{% endif %}{{ m['x'] }}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->mentions("tools"));
  EXPECT_TRUE(parsed->mentions("reasoning_content"));
  EXPECT_TRUE(parsed->mentions("x"));
  EXPECT_FALSE(parsed->mentions("enable_thinking"));
}

TEST(ChatTemplate, WantsAnObjectOfUtf8) {
  EXPECT_EQ(render("", Json::array()).error().message,
            "chat template: the context is a JSON array, wanted an object");
  EXPECT_FALSE(render("{{ a }}", {{"a", "\xFF"}}).ok());
  Json deep = 1;
  for (int i = 0; i < 5000; ++i) deep = Json::array({std::move(deep)});
  EXPECT_EQ(render("", {{"a", deep}}).error().code, Errc::exhausted);
}

TEST(ChatTemplate, TakesNoMoreStepsThanAllowed) {
  const auto parsed = ChatTemplate::parse("{% for i in range(1000) %}{{ i }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->render(Json::object()).ok());
  const auto rendered = parsed->render(Json::object(), {.steps_max = 5000});
  ASSERT_FALSE(rendered.ok());
  EXPECT_EQ(rendered.error().message,
            "chat template: line 1, column 4: the template took more than 5000 steps");
}

class FixedClock final : public Clock {
 public:
  Steady now() const override { return {}; }
  Wall wall() const override { return std::chrono::system_clock::from_time_t(1'700'000'000); }
  void sleep(std::chrono::milliseconds) override {}
};

TEST(ChatTemplate, TellsTheClocksLocalTime) {
  const std::time_t seconds = 1'700'000'000;
  std::tm local{};
  localtime_r(&seconds, &local);
  char want[64];
  std::strftime(want, sizeof want, "%d %b %Y %H:%M", &local);
  const auto parsed =
      ChatTemplate::parse("{{ strftime_now('%d %b %Y %H:%M') }}{{ strftime_now('') }}");
  ASSERT_TRUE(parsed.ok());
  const FixedClock clock;
  EXPECT_EQ(*parsed->render(Json::object(), {.clock = &clock}), want);
}

TEST(ChatTemplate, RendersOnManyThreadsAtOnce) {
  const auto parsed = ChatTemplate::parse(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for a in range(n) %}{{ m(a) }}{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  const std::string want = *parsed->render({{"n", 50}});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) EXPECT_EQ(*parsed->render({{"n", 50}}), want);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace glm::runner
