// template, tokenize and detokenize: the real program with the models that ship with it, and no
// daemon anywhere.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/cli/glm_process.h"

namespace glm::testing {
namespace {

constexpr const char* kHello = R"([{"role": "user", "content": "Hello"}])";

class TextCommands : public ::testing::Test {
 protected:
  Ran glm(std::vector<std::string> arguments, std::string input = {}) {
    // Port 1: whoever looked for a daemon would fail.
    return run_glm({.arguments = std::move(arguments),
                    .input = std::move(input),
                    .environment = {{"GLM_HOST", "127.0.0.1:1"},
                                    {"GLM_HOME", (folder.path() / "home").string()}}});
  }

  std::string file(const std::string& name, const std::string& text) {
    const auto path = folder.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }

  TempFolder folder;
};

using TemplateCommand = TextCommands;
using TokenizeCommand = TextCommands;

TEST_F(TemplateCommand, PrintsThePromptAndNothingElse) {
  const Ran ran = glm({"template", "tiny", "--messages", file("m.json", kHello)});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out, "[gMASK]<sop><|user|>Hello<|assistant|><think>");
  EXPECT_EQ(ran.err, "");
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "home"));
}

TEST_F(TemplateCommand, TakesItsVariablesFromFlags) {
  EXPECT_EQ(
      glm({"template", "tiny:int4", "--messages", "-", "--kwargs", R"({"enable_thinking": false})"},
          kHello)
          .out,
      "[gMASK]<sop><|user|>Hello<|assistant|></think>");
  const std::string jinja = file("t.jinja",
                                 "{{ bos_token }}{{ eos_token }}{{ tools | tojson }}{{ documents }}"
                                 "{{ add_generation_prompt }}{{ x }}{{ pad_token is defined }}\n");
  EXPECT_EQ(glm({"template", "--file", jinja, "--messages", "-", "--bos-token", "<s>",
                 "--eos-token", "</s>", "--kwargs", R"({"x": 1.0})", "--no-generation-prompt"},
                kHello)
                .out,
            "<s></s>nullNoneFalse1.0False");
  EXPECT_EQ(glm({"template", "--file", jinja, "--messages", "-", "--tools",
                 file("tools.json", R"([{"b": 1, "a": "é"}])")},
                kHello)
                .out,
            R"([{"b": 1, "a": "é"}]NoneTrueFalse)");
}

TEST_F(TemplateCommand, LeavesTheMessagesAsTheyAre) {
  const std::string jinja = file("t.jinja", "{{ messages[0].content }}|{{ messages[1] }}");
  EXPECT_EQ(glm({"template", "--file", jinja, "--messages", "-"},
                R"([{"role": "developer", "content": null}, {"role": "x", "n": 1e3}])")
                .out,
            "None|{'role': 'x', 'n': 1000.0}");
}

// The old key of tokenizer_config.json, a list with a template for tools, and special tokens that
// are objects.
TEST_F(TemplateCommand, ReadsAFolder) {
  const std::string model = folder.path() / "model";
  file("model/tokenizer_config.json",
       R"({"bos_token": {"content": "<B>"}, "eos_token": "<E>", "chat_template": [)"
       R"({"name": "default", "template": "{{ bos_token }}plain{{ eos_token }}"},)"
       R"({"name": "tool_use", "template": "{{ bos_token }}tools"}]})");
  EXPECT_EQ(glm({"template", model, "--messages", "-"}, kHello).out, "<B>plain<E>");
  EXPECT_EQ(
      glm({"template", model, "--messages", "-", "--tools", file("t.json", "[{}]")}, kHello).out,
      "<B>tools");
  EXPECT_EQ(glm({"template", model, "--messages", "-", "--bos-token", ""}, kHello).out, "plain<E>");
  file("model/chat_template.jinja", "file{{ bos_token }}");
  EXPECT_EQ(glm({"template", model, "--messages", "-"}, kHello).out, "file<B>");
}

TEST_F(TemplateCommand, ReadsAPipe) {
  const std::string pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(pipe) << kHello; });
  EXPECT_EQ(glm({"template", "tiny", "--messages", pipe}).out,
            "[gMASK]<sop><|user|>Hello<|assistant|><think>");
  writer.join();
}

TEST_F(TemplateCommand, TellsABrokenCheckpointFromABrokenArgument) {
  const std::string jinja = file("model/chat_template.jinja", "{% fro %}");
  const Ran of_model = glm({"template", folder.path() / "model", "--messages", "-"}, kHello);
  EXPECT_EQ(of_model.exit_code, 5) << of_model.err;
  EXPECT_EQ(glm({"template", "--file", jinja, "--messages", "-"}, kHello).exit_code, 2);
}

TEST_F(TemplateCommand, SaysWhatIsWrong) {
  const auto fails = [&](std::vector<std::string> arguments, int code, const std::string& message) {
    arguments.insert(arguments.begin(), "template");
    const Ran ran = glm(arguments, kHello);
    EXPECT_EQ(ran.exit_code, code);
    EXPECT_EQ(ran.err, "glm: " + message + "\n");
    EXPECT_EQ(ran.out, "");
  };
  const std::string jinja = file("t.jinja", "one\n{{ nothing.at.all }}");
  fails({"--file", jinja, "--messages", "-"}, 2,
        jinja + ": chat template: line 2, column 11: 'nothing' is undefined");
  fails({"--messages", "-"}, 2, "give a MODEL or --file TEMPLATE.jinja, to say whose");
  fails({"tiny", "--file", jinja, "--messages", "-"}, 2,
        "give either MODEL or --file TEMPLATE.jinja, not both");
  fails({"tiny", "--messages", file("x.json", "{")}, 2,
        "--messages: " + folder.path().string() +
            "/x.json: not valid JSON: line 1, column 2: syntax error while parsing object key - "
            "unexpected end of input; expected string literal");
  fails(
      {"tiny", "--messages", file("x.json", std::string(9999, '[') + std::string(9999, ']'))}, 2,
      "--messages: " + folder.path().string() + "/x.json: not valid JSON: it is nested too deeply");
  fails({"tiny", "--messages", file("x.json", "[]")}, 2,
        "--messages wants a JSON list of messages, got an empty one");
  fails({"tiny", "--messages", "-", "--kwargs", "[]"}, 2,
        "--kwargs wants a JSON object, got array");
  fails({"glm-4.7-flash", "--messages", "-"}, 3,
        "glm-4.7-flash: it is not here yet: glm pull glm-4.7-flash:latest");
  fails({"org/name", "--messages", "-"}, 3, "org/name: it is not here yet: glm pull org/name");
}

TEST_F(TokenizeCommand, PrintsIdsAndTheWayBack) {
  const std::string text = "Hello wörld <|user|> 中\n";
  const Ran ids = glm({"tokenize", "tiny"}, text);
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_EQ(ids.out.substr(0, 8), "486 488 ");
  EXPECT_EQ(glm({"detokenize", "tiny"}, ids.out).out, "[gMASK]<sop>" + text);
  const Ran json = glm({"tokenize", "tiny", "--no-special", "--json"}, text);
  EXPECT_EQ(glm({"detokenize", "tiny"}, json.out).out, text);
  EXPECT_EQ(nlohmann::json::parse(glm({"detokenize", "tiny", "--json"}, json.out).out), text);
  EXPECT_EQ(nlohmann::json::parse(json.out)[0], 39);
}

TEST_F(TokenizeCommand, RefusesWhatIsNoText) {
  EXPECT_EQ(glm({"tokenize", "tiny"}, "a\xFF").exit_code, 2);
  EXPECT_EQ(glm({"detokenize", "tiny"}, "1 x").err,
            "glm: standard input: wanted token ids, got 'x'\n");
  EXPECT_EQ(
      glm({"detokenize", "tiny"}, "[1,2").err,
      "glm: standard input is no JSON list of token ids: line 1, column 5: syntax error while "
      "parsing array - unexpected end of input; expected ']'\n");
  EXPECT_EQ(glm({"detokenize", "tiny"}, "[1,2").exit_code, 2);
  EXPECT_EQ(glm({"detokenize", "tiny"}, "1 2]").exit_code, 2);
  EXPECT_EQ(glm({"detokenize", "tiny"}, "[39, [39]]").exit_code, 2);
  EXPECT_EQ(glm({"detokenize", "tiny"}, "39,39").out, glm({"detokenize", "tiny"}, "[39,39]").out);
  EXPECT_EQ(glm({"detokenize", "tiny"}, "100000").exit_code, 2);
  EXPECT_EQ(glm({"tokenize", "/nowhere"}).err,
            "glm: open folder /nowhere: No such file or directory\n");
  std::filesystem::create_directories(folder.path() / "empty");
  const std::string empty = folder.path() / "empty";
  EXPECT_EQ(glm({"tokenize", empty}).err, "glm: " + empty + ": the folder is empty\n");
  EXPECT_EQ(glm({"tokenize", "--file", "/nowhere/tokenizer.json"}, "a").exit_code, 3);
  EXPECT_EQ(glm({"tokenize", "--file", file("t.json", "{}")}, "a").exit_code, 5);
  EXPECT_EQ(glm({"tokenize", "tiny", "--no-special"}, "").out, "\n");
}

}  // namespace
}  // namespace glm::testing
