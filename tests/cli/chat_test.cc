// The conversation, at a pseudo-terminal, with a fake daemon that repeats what it was told.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/cli/glm_process.h"
#include "tests/fakes/fake_daemon.h"

namespace glm::testing {
namespace {

using fakes::FakeAnswer;
using fakes::FakeDaemon;
using fakes::FakeRequest;
using nlohmann::json;

std::string chat_line(const std::string& content) {
  return json({{"message", {{"role", "assistant"}, {"content", content}}}, {"done", false}}).dump();
}

constexpr const char* kDone =
    R"({"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",)"
    R"("total_duration":2000000000,"eval_count":10,"eval_duration":1000000000})";

class Chat : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_terminals()) GTEST_SKIP() << "no pseudo-terminals here";
  }

  Chat() {
    daemon.on(
        "POST /api/show",
        FakeAnswer{
            .lines = {R"({"modelfile":"FROM x","system":"the system","template":"the template",)"
                      R"("parameters":"top_k    1","details":{"family":"glm4_moe_lite"}})"}});
    daemon.on("POST /api/generate", FakeAnswer{.lines = {R"({"response":"","done":true})"}});
    daemon.on("POST /api/chat", [](const FakeRequest& request) {
      const std::string said = request.json()["messages"].back()["content"];
      if (said == "fail") {
        return FakeAnswer{.status = 400, .lines = {R"({"error":"no","code":"invalid_argument"})"}};
      }
      if (said == "long") {
        return FakeAnswer{.status = 400,
                          .lines = {R"({"error":"too long","code":"context_length_exceeded"})"}};
      }
      if (said == "endless") {
        return FakeAnswer{.lines = {chat_line("on and ")}, .end = FakeAnswer::End::endless};
      }
      return FakeAnswer{.lines = {chat_line("you said: "), chat_line(said), kDone}};
    });
  }

  GlmAtTerminal start(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"run", "tiny"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return GlmAtTerminal({.arguments = arguments,
                          .input = {},
                          .environment = {{"GLM_HOST", daemon.host()},
                                          {"GLM_HOME", home.path().string()},
                                          {"GLM_DEVICE", ""},
                                          {"GLM_KV_CACHE_TYPE", ""},
                                          {"LC_ALL", "C.UTF-8"}}});
  }

  json last_request() {
    const std::vector<FakeRequest> requests = daemon.requests("POST /api/chat");
    EXPECT_FALSE(requests.empty());
    return requests.empty() ? json() : requests.back().json();
  }

  FakeDaemon daemon;
  TempFolder home;
};

TEST_F(Chat, SendsTheWholeConversationEachTime) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect("tiny is ready. /? lists the commands, Ctrl-D leaves.")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("hello\n");
  ASSERT_TRUE(glm.expect("you said: hello")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("gr\xC3\xBC\xC3\x9F dich\n");
  ASSERT_TRUE(glm.expect("you said: gr\xC3\xBC\xC3\x9F dich")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\x04");
  EXPECT_EQ(glm.wait(), 0) << glm.screen();
  EXPECT_EQ(last_request()["messages"], json::parse(R"([
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "you said: hello"},
    {"role": "user", "content": "grüß dich"}])"));
}

TEST_F(Chat, LoadsTheModelBeforeItSaysThatItIsReady) {
  GlmAtTerminal glm = start({"--device", "cpu", "--keepalive", "0"});
  ASSERT_TRUE(glm.expect("tiny is ready.")) << glm.screen();
  const std::vector<FakeRequest> loads = daemon.requests("POST /api/generate");
  ASSERT_EQ(loads.size(), 1u);
  EXPECT_EQ(loads[0].json()["options"]["device"], "cpu");
  EXPECT_FALSE(loads[0].json().contains("keep_alive"));
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\x04");
  EXPECT_EQ(glm.wait(), 0);
  daemon.on("POST /api/generate", FakeAnswer{.status = 400,
                                             .lines = {R"({"error":"device cuda: there is none",)"
                                                       R"("code":"unsupported"})"}});
  GlmAtTerminal refused = start({"--device", "cuda"});
  EXPECT_EQ(refused.wait(), 7);
  EXPECT_NE(refused.screen().find("device cuda: there is none"), std::string::npos);
  EXPECT_EQ(refused.screen().find("ready"), std::string::npos) << refused.screen();
}

TEST_F(Chat, CtrlCStopsAnEndlessAnswerAndNotTheProgram) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("endless\n");
  ASSERT_TRUE(glm.expect("on and on and ")) << glm.screen();
  glm.type("\x03");
  ASSERT_TRUE(glm.expect("(stopped)")) << glm.screen();
  EXPECT_TRUE(daemon.wait_until_abandoned(std::chrono::seconds(30)));
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("still there?\n");
  ASSERT_TRUE(glm.expect("you said: still there?")) << glm.screen();
  const json messages = last_request()["messages"];
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_TRUE(messages[1]["content"].get<std::string>().starts_with("on and on and "));
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/bye\n");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, CtrlCThrowsTheLineAway) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("half a mess\x03");
  ASSERT_TRUE(glm.expect("Ctrl-D or /bye leaves.")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("whole\n");
  ASSERT_TRUE(glm.expect("you said: whole")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/exit\n");
  EXPECT_EQ(glm.wait(), 0);
  EXPECT_EQ(last_request()["messages"].size(), 1u);
}

TEST_F(Chat, ReadsMessagesOfSeveralLines) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\"\"\"one\n");
  ASSERT_TRUE(glm.expect("... "));
  glm.type("\n");
  ASSERT_TRUE(glm.expect("... "));
  glm.type("three\"\"\"\n");
  ASSERT_TRUE(glm.expect("you said: one")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  EXPECT_EQ(last_request()["messages"][0]["content"], "one\n\nthree");
  glm.type("\x04");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, ChangesItsSettings) {
  GlmAtTerminal glm = start({"--temperature", "0.1"});
  const auto line = [&](const std::string& text) {
    ASSERT_TRUE(glm.expect(">>> ")) << glm.screen();
    glm.type(text + "\n");
  };
  line("/set parameter temperature 0.5");
  line("/set parameter stop \"<end>\"");
  line("/set system \"\"\"Be");
  ASSERT_TRUE(glm.expect("... "));
  glm.type("brief.\"\"\"\n");
  line("/set nothink");
  line("/set verbose");
  line("hi");
  ASSERT_TRUE(glm.expect("you said: hi"));
  ASSERT_TRUE(glm.expect("eval rate:            10.00 tokens/s")) << glm.screen();
  EXPECT_EQ(last_request(), json::parse(R"({
    "model": "tiny", "stream": true, "think": false,
    "options": {"temperature": 0.5, "stop": ["<end>"]},
    "messages": [{"role": "system", "content": "Be\nbrief."}, {"role": "user", "content": "hi"}]})"));
  line("/set parameter temprature 1");
  ASSERT_TRUE(
      glm.expect("glm: /set parameter: there is no option 'temprature'; did you mean "
                 "'temperature'?"))
      << glm.screen();
  line("/set parameter bogus 1");
  ASSERT_TRUE(
      glm.expect("glm: /set parameter: there is no option 'bogus'; there are temperature, "))
      << glm.screen();
  line("/set think very");
  ASSERT_TRUE(
      glm.expect("glm: /set think wants one of true, false, low, medium, high, max, got 'very'"));
  line("/set parameter");
  ASSERT_TRUE(glm.expect("glm: /set parameter wants a name and a value; there are temperature, "));
  line("/set parameter top_p 7");
  ASSERT_TRUE(glm.expect("glm: /set parameter: top_p wants a number in [0, 1], got '7'"));
  line("/set");
  ASSERT_TRUE(glm.expect("glm: /set wants one of parameter, system, think"));
  line("/clera");
  ASSERT_TRUE(glm.expect("glm: there is no command '/clera'; did you mean '/clear'?"));
  line("/clear");
  line("again");
  ASSERT_TRUE(glm.expect("you said: again"));
  EXPECT_EQ(last_request()["messages"].size(), 2u);
  line("/show system");
  ASSERT_TRUE(glm.expect("the system"));
  line("/show template");
  ASSERT_TRUE(glm.expect("the template"));
  line("/show");
  ASSERT_TRUE(glm.expect("architecture    glm4_moe_lite"));
  line("/?");
  ASSERT_TRUE(glm.expect("Ctrl-C stops an answer, Ctrl-D leaves."));
  line("/bye");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, ShowsWhatWasSetWhereTheModelHasNothing) {
  daemon.on("POST /api/show", FakeAnswer{.lines = {R"({"modelfile":"FROM x"})"}});
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/show parameters\n");
  ASSERT_TRUE(glm.expect("glm: this model has no parameters of its own")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/set parameter top_p 0.5\n");
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/show parameters\n");
  ASSERT_TRUE(glm.expect("Set here:")) << glm.screen();
  ASSERT_TRUE(glm.expect("\"top_p\":0.5")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/set parameter top_q 1\n");
  ASSERT_TRUE(glm.expect("glm: /set parameter: there is no option 'top_q'"))
      << "nothing else before it\n"
      << glm.screen();
  const std::string screen = glm.screen();
  EXPECT_EQ(screen.find("no parameters", screen.find("Set here:")), std::string::npos) << screen;
  glm.type("/bye\n");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, TakesPastedLinesAsOneMessage) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("Why: \x1b[200~/usr/a.c:1\r\tint x;\r\x03~\x1b[201~ ?\n");
  ASSERT_TRUE(glm.expect("you said: Why: ")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  EXPECT_EQ(last_request()["messages"].back()["content"], "Why: /usr/a.c:1\n\tint x;\n~ ?");
  glm.type("\x1b[200~/usr/a.c:1: error\rhere\x1b[201~\n");
  ASSERT_TRUE(glm.expect("you said: /usr/a.c:1: error")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  // Keys that begin as the mark does.
  glm.type("ab\x1b[D-\n");
  ASSERT_TRUE(glm.expect("you said: a-b")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/bye\n");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, SaysHowAFullContextIsMended) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("long\n");
  ASSERT_TRUE(glm.expect("glm: too long; here '/set parameter num_ctx N' sets the context"))
      << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("hello\n");
  ASSERT_TRUE(glm.expect("you said: hello")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("long\n");
  ASSERT_TRUE(
      glm.expect("glm: too long; here '/clear' begins anew, and"
                 " '/set parameter num_ctx N' sets the context"))
      << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/bye\n");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, GoesOnAfterAnError) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("fail\n");
  ASSERT_TRUE(glm.expect("glm: no")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("better\n");
  ASSERT_TRUE(glm.expect("you said: better"));
  EXPECT_EQ(last_request()["messages"].size(), 1u) << "the failed message is not repeated";
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("/bye\n");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, RemembersLinesForTheNextTime) {
  {
    GlmAtTerminal glm = start();
    ASSERT_TRUE(glm.expect(">>> "));
    glm.type("a line to remember\n");
    ASSERT_TRUE(glm.expect("you said: a line to remember"));
    ASSERT_TRUE(glm.expect(">>> "));
    glm.type("/bye\n");
    EXPECT_EQ(glm.wait(), 0);
  }
  struct stat info {};
  ASSERT_EQ(::stat((home.path() / "history").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\x10\x10\n");  // Ctrl-P twice: past /bye
  ASSERT_TRUE(glm.expect("you said: a line to remember")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\x04");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, KeepsControlCharactersOfAnAnswerOffTheTerminal) {
  daemon.on("POST /api/chat", FakeAnswer{.lines = {chat_line("be\x1b[2Jfore\x07 after"), kDone}});
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("x\n");
  EXPECT_TRUE(glm.expect("be[2Jfore after")) << glm.screen();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\x04");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, RefusesJson) {
  GlmAtTerminal glm = start({"--json"});
  EXPECT_TRUE(glm.expect("glm: --json is for one answer: give a prompt, or pipe one in"));
  EXPECT_EQ(glm.wait(), 2);
}

TEST_F(Chat, EndsWithItsTerminal) {
  GlmAtTerminal glm = start();
  ASSERT_TRUE(glm.expect(">>> "));
  glm.type("\x04");
  EXPECT_EQ(glm.wait(), 0);
}

TEST_F(Chat, PullRedrawsItsLineOnATerminal) {
  daemon.on(
      "POST /api/pull",
      FakeAnswer{
          .lines = {
              R"({"status":"pulling manifest"})",
              R"({"status":"pulling 4d1c3bf1b4ba","digest":"sha256:4d1c","total":1000,"completed":10})",
              R"({"status":"pulling 4d1c3bf1b4ba","digest":"sha256:4d1c","total":1000,"completed":1000})",
              R"({"status":"success"})"}});
  GlmAtTerminal glm(
      {.arguments = {"pull", "tiny"},
       .input = {},
       .environment = {{"GLM_HOST", daemon.host()}, {"GLM_HOME", home.path().string()}}});
  EXPECT_EQ(glm.wait(), 0);
  EXPECT_NE(glm.screen().find("\x1b[1A\rpulling 4d1c3bf1b4ba 100% [====="), std::string::npos)
      << glm.screen();
  EXPECT_TRUE(glm.screen().ends_with("success\r\n")) << glm.screen();
}

}  // namespace
}  // namespace glm::testing
