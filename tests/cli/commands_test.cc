// The real program against a fake daemon: what stands on which stream, what was sent, and the exit
// code.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

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

constexpr const char* kDone =
    R"({"model":"tiny:latest","created_at":"2026-11-21T09:15:00Z","response":"","done":true,)"
    R"("done_reason":"stop","total_duration":812345678,"load_duration":41234567,)"
    R"("prompt_eval_count":12,"prompt_eval_duration":98765432,"eval_count":25,)"
    R"("eval_duration":654321000})";

FakeAnswer one(const std::string& line, int status = 200) {
  return {.status = status, .lines = {line}};
}

class Commands : public ::testing::Test {
 protected:
  Ran glm(std::vector<std::string> arguments, std::string input = {}) {
    return run_glm(invocation(std::move(arguments), std::move(input)));
  }

  Invocation invocation(std::vector<std::string> arguments, std::string input = {}) {
    return {.arguments = std::move(arguments),
            .input = std::move(input),
            .environment = {{"GLM_HOST", daemon.host()},
                            {"GLM_HOME", home.path().string()},
                            {"GLM_KV_CACHE_TYPE", ""},
                            {"GLM_DEVICE", ""}}};
  }

  void has_tiny() { daemon.on("POST /api/show", one(R"({"model":"tiny:latest"})")); }

  void answers(std::vector<std::string> lines) {
    has_tiny();
    daemon.on("POST /api/generate", FakeAnswer{.lines = std::move(lines)});
  }

  json sent(const std::string& route) {
    const std::vector<FakeRequest> requests = daemon.requests(route);
    EXPECT_FALSE(requests.empty()) << route;
    return requests.empty() ? json() : requests.back().json();
  }

  FakeDaemon daemon;
  TempFolder home;
};

using RunCommand = Commands;

TEST_F(RunCommand, PutsTheAnswerAndNothingElseOnStandardOutput) {
  answers({R"({"response":"","thinking":"Let me","done":false})",
           R"({"response":"","thinking":" see.","done":false})",
           R"({"response":"Forty","done":false})", R"({"response":"-two.","done":false})", kDone});
  const Ran ran = glm({"run", "tiny", "What", "is", "17 + 25?"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "Forty-two.\n");
  EXPECT_EQ(ran.err, "Thinking...\nLet me see.\n...done thinking.\n\n");
  EXPECT_EQ(sent("POST /api/generate"),
            json::parse(R"({"model":"tiny","stream":true,"prompt":"What is 17 + 25?"})"));
}

TEST_F(RunCommand, HidesThinkingWhenAsked) {
  answers({R"({"response":"","thinking":"Hm","done":false})", R"({"response":"42","done":false})",
           kDone});
  const Ran ran = glm({"run", "tiny", "--hide-thinking", "x"});
  EXPECT_EQ(ran.out, "42\n");
  EXPECT_EQ(ran.err, "");
}

TEST_F(RunCommand, SaysThatTheBoundEndedTheAnswerBeforeItsText) {
  const char* cut = R"({"response":"","done":true,"done_reason":"length","eval_count":3})";
  const std::string advice = ": allow more with --num-predict or --num-ctx, or say --no-think\n";
  answers({R"({"response":"","thinking":"Hm","done":false})", cut});
  Ran ran = glm({"run", "tiny", "--hide-thinking", "--num-predict", "3", "x"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(
      ran.err,
      "glm: the answer was cut off after 3 tokens, while the model was still thinking" + advice);
  EXPECT_EQ(glm({"run", "tiny", "--json", "x"}).err, "");
  answers({cut});
  EXPECT_EQ(glm({"run", "tiny", "x"}).err, "glm: the answer was cut off after 3 tokens" + advice);
}

TEST_F(RunCommand, SaysThatTheContextEndedTheAnswerButNotThatWhatTheUserSaidDid) {
  answers({R"({"response":"Forty","done":false})",
           R"({"response":"","done":true,"done_reason":"length","eval_count":3})"});
  const Ran ran = glm({"run", "tiny", "x"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "Forty\n");
  EXPECT_EQ(ran.err,
            "glm: the answer was cut off after 3 tokens: allow more with --num-ctx or "
            "--num-predict\n");
  EXPECT_EQ(glm({"run", "tiny", "--num-predict", "3", "x"}).err, "");
  EXPECT_EQ(glm({"run", "tiny", "--json", "x"}).err, "");
}

TEST_F(RunCommand, SaysThatALevelOfThinkingBehindABlankIsPartOfThePrompt) {
  answers({R"({"response":"ok","done":false})", kDone});
  const Ran ran = glm({"run", "tiny", "--think", "false", "What is 2 + 3?"});
  EXPECT_EQ(ran.out, "ok\n");
  EXPECT_EQ(ran.err,
            "glm: warning: 'false' is the prompt's first word here; the flag is --think=false\n");
  EXPECT_EQ(sent("POST /api/generate")["prompt"], "false What is 2 + 3?");
  for (const std::vector<std::string>& same : {std::vector<std::string>{"--think", "false"},
                                               {"--think", "truth or dare?", "dare"},
                                               {"--think=true", "What"},
                                               {"--no-think", "high", "five"},
                                               {"high", "five"}}) {
    std::vector<std::string> arguments = {"run", "tiny"};
    arguments.insert(arguments.end(), same.begin(), same.end());
    EXPECT_EQ(glm(arguments).err, "") << same.back();
  }
}

TEST_F(RunCommand, PutsWhatIsPipedInBeforeThePrompt) {
  answers({R"({"response":"ok","done":false})", kDone});
  EXPECT_EQ(glm({"run", "tiny", "Summarise"}, "line 1\nline 2\n\n").out, "ok\n");
  EXPECT_EQ(sent("POST /api/generate")["prompt"], "line 1\nline 2\nSummarise");
  EXPECT_EQ(glm({"run", "tiny"}, "only this").out, "ok\n");
  EXPECT_EQ(sent("POST /api/generate")["prompt"], "only this");
}

TEST_F(RunCommand, LoadsTheModelForAnEmptyPrompt) {
  answers({R"({"model":"tiny:latest","response":"","done":true,"done_reason":"load"})"});
  const Ran ran = glm({"run", "tiny"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(sent("POST /api/generate")["prompt"], "");
}

TEST_F(RunCommand, SendsItsFlags) {
  answers({R"({"response":"ok","done":false})", kDone});
  const Ran ran = glm({"run",
                       "tiny",
                       "--temperature",
                       "0.5",
                       "--top-p=0.9",
                       "--top-k",
                       "40",
                       "--seed",
                       "-1",
                       "--num-predict",
                       "10",
                       "--num-ctx",
                       "4096",
                       "--stop",
                       "a",
                       "--stop",
                       "b",
                       "--device",
                       "cpu",
                       "--system",
                       "Be brief.",
                       "--keepalive",
                       "-1",
                       "--no-think",
                       "hello"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(sent("POST /api/generate"), json::parse(R"({
    "model": "tiny", "stream": true, "think": false, "keep_alive": "-1", "prompt": "hello",
    "system": "Be brief.",
    "options": {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": -1, "num_predict": 10,
                "num_ctx": 4096, "stop": ["a", "b"], "device": "cpu"}})"));
  EXPECT_EQ(glm({"run", "--think", "tiny", "x"}).exit_code, 0);
  EXPECT_EQ(sent("POST /api/generate")["think"], true);
  EXPECT_EQ(glm({"run", "--think=false", "tiny", "x"}).exit_code, 0);
  EXPECT_EQ(sent("POST /api/generate")["think"], false);
  EXPECT_EQ(glm({"run", "--think=high", "tiny", "x"}).exit_code, 0);
  EXPECT_EQ(sent("POST /api/generate")["think"], "high");
  for (const auto* wrong : {"--think=much", "--no-think=high"}) {
    const Ran refused = glm({"run", wrong, "tiny", "x"});
    EXPECT_EQ(refused.exit_code, 2) << refused.err;
    EXPECT_NE(refused.err.find("think"), std::string::npos) << refused.err;
  }
}

TEST_F(RunCommand, TakesDeviceAndCacheTypeFromTheEnvironment) {
  answers({R"({"response":"ok","done":false})", kDone});
  Invocation run = invocation({"run", "tiny", "x"});
  const auto set = [&](std::string_view name, const char* value) {
    for (auto& [variable, text] : run.environment) {
      if (variable == name) text = value;
    }
  };
  set("GLM_DEVICE", "cpu");
  EXPECT_EQ(run_glm(run).exit_code, 0);
  EXPECT_EQ(sent("POST /api/generate")["options"], json({{"device", "cpu"}}));
  set("GLM_KV_CACHE_TYPE", "fp8");
  EXPECT_EQ(run_glm(run).exit_code, 0);
  EXPECT_EQ(sent("POST /api/generate")["options"],
            json({{"device", "cpu"}, {"kv_cache_type", "fp8"}}));
  set("GLM_DEVICE", "gpu");
  const Ran wrong = run_glm(run);
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_EQ(wrong.err,
            "glm: environment variable GLM_DEVICE: device wants auto, cpu or cuda, got 'gpu'\n");
}

TEST_F(RunCommand, PrintsStatisticsToStandardError) {
  answers({R"({"response":"ok","done":false})", kDone});
  const Ran ran = glm({"run", "tiny", "--verbose", "x"});
  EXPECT_EQ(ran.out, "ok\n");
  EXPECT_EQ(ran.err,
            "total duration:       812.345678ms\n"
            "load duration:        41.234567ms\n"
            "prompt eval count:    12 token(s)\n"
            "prompt eval duration: 98.765432ms\n"
            "prompt eval rate:     121.50 tokens/s\n"
            "eval count:           25 token(s)\n"
            "eval duration:        654.321ms\n"
            "eval rate:            38.21 tokens/s\n");
}

TEST_F(RunCommand, PrintsOneJsonObjectWhenAsked) {
  answers({R"({"response":"","thinking":"Hm","done":false})",
           R"({"response":"Forty","done":false})", R"({"response":"-two","done":false})", kDone});
  const Ran ran = glm({"run", "tiny", "--json", "x"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.err, "");
  const json answer = json::parse(ran.out, nullptr, false);
  ASSERT_TRUE(answer.is_object()) << ran.out;
  EXPECT_EQ(answer["response"], "Forty-two");
  EXPECT_EQ(answer["thinking"], "Hm");
  EXPECT_EQ(answer["done"], true);
  EXPECT_EQ(answer["eval_count"], 25);
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 1);
}

TEST_F(RunCommand, PullsAModelThatIsNotHere) {
  daemon.on(
      "POST /api/show",
      one(R"({"error":"model \"tiny\" not found, try pulling it first","code":"not_found"})", 404));
  daemon.on(
      "POST /api/pull",
      FakeAnswer{
          .lines = {
              R"({"status":"pulling manifest"})",
              R"({"status":"pulling 4d1c3bf1b4ba","digest":"sha256:4d1c","total":10,"completed":10})",
              R"({"status":"success"})"}});
  daemon.on("POST /api/generate",
            FakeAnswer{.lines = {R"({"response":"ok","done":false})", kDone}});
  const Ran ran = glm({"run", "tiny", "x"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "ok\n");
  EXPECT_EQ(ran.err, "pulling manifest\npulling 4d1c3bf1b4ba: 100% of 10 B\nsuccess\n");
  EXPECT_EQ(sent("POST /api/pull"), json::parse(R"({"model":"tiny","stream":true})"));
}

TEST_F(RunCommand, CallsAWrongNameAWrongNameAndNoFailedPull) {
  const auto absent = [&](const std::string& message) {
    const FakeAnswer answer = one(json{{"error", message}, {"code", "not_found"}}.dump(), 404);
    daemon.on("POST /api/show", answer);
    daemon.on("POST /api/pull", answer);
  };
  absent("there is no model 'tinny' in the catalog; did you mean 'tiny'?");
  const Ran ran = glm({"run", "tinny", "x"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.err,
            "glm: run tinny: there is no model 'tinny' in the catalog; did you mean 'tiny'?\n");
  absent("org/name does not exist");
  EXPECT_EQ(glm({"run", "org/name", "x"}).err, "glm: pull org/name: org/name does not exist\n");
}

TEST_F(RunCommand, KeepsWhatCameBeforeAnErrorInTheMiddle) {
  answers({R"({"response":"Forty","done":false})",
           R"({"error":"the runner died: killed by signal 9","code":"device"})"});
  const Ran ran = glm({"run", "tiny", "x"});
  EXPECT_EQ(ran.exit_code, 10);
  EXPECT_EQ(ran.out, "Forty\n");
  EXPECT_EQ(ran.err, "glm: the runner died: killed by signal 9\n");
}

TEST_F(RunCommand, NoticesAnAnswerThatWasCut) {
  has_tiny();
  daemon.on("POST /api/generate", FakeAnswer{.lines = {R"({"response":"Forty","done":false})"},
                                             .end = FakeAnswer::End::cut});
  const Ran cut = glm({"run", "tiny", "x"});
  EXPECT_EQ(cut.exit_code, 6);
  EXPECT_EQ(cut.out, "Forty\n");
  EXPECT_EQ(cut.err, "glm: the connection to the daemon at " + daemon.host() +
                         " broke before its answer was complete\n");

  daemon.on("POST /api/generate", one(R"({"response":"Forty","done":false})"));
  const Ran undone = glm({"run", "tiny", "x"});
  EXPECT_EQ(undone.exit_code, 6);
  EXPECT_EQ(undone.err,
            "glm: the answer of the daemon at " + daemon.host() + " ended in the middle\n");
}

TEST_F(RunCommand, StopsAtCtrlC) {
  has_tiny();
  daemon.on("POST /api/generate", FakeAnswer{.lines = {R"({"response":"on and ","done":false})"},
                                             .end = FakeAnswer::End::endless});
  RunningGlm running(invocation({"run", "tiny", "x"}));
  ASSERT_TRUE(running.wait_for_output("on and on and "));
  running.signal(SIGINT);
  const Ran ran = running.finish();
  EXPECT_EQ(ran.exit_code, 130);
  EXPECT_EQ(ran.err, "");
  EXPECT_TRUE(ran.out.ends_with("\n"));
  EXPECT_TRUE(daemon.wait_until_abandoned(std::chrono::seconds(30)));
}

TEST_F(RunCommand, EndsWithItsReader) {
  has_tiny();
  daemon.on("POST /api/generate", FakeAnswer{.lines = {R"({"response":"on and ","done":false})"},
                                             .end = FakeAnswer::End::endless});
  RunningGlm running(invocation({"run", "tiny", "x"}));
  ASSERT_TRUE(running.wait_for_output("on and "));
  running.close_output();
  const Ran ran = running.finish();
  EXPECT_EQ(ran.exit_code, 128 + SIGPIPE);
  EXPECT_EQ(ran.err, "");
  EXPECT_TRUE(daemon.wait_until_abandoned(std::chrono::seconds(30)));
}

TEST_F(RunCommand, RefusesTextThatIsNotUtf8) {
  has_tiny();
  const Ran ran = glm({"run", "tiny"}, "ab\xFF");
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_EQ(ran.err, "glm: standard input is not UTF-8 text: byte 0xff at offset 2\n");
  EXPECT_EQ(glm({"run", "tiny", "\xC3("}).err,
            "glm: the prompt is not UTF-8 text: byte 0xc3 at offset 0\n");
  EXPECT_TRUE(daemon.requests("POST /api/generate").empty());
}

TEST_F(RunCommand, PassesOnBytesOfAnAnswerAsTheyAre) {
  answers({R"({"response":"\u001b[31mred\u00e4","done":false})", kDone});
  EXPECT_EQ(glm({"run", "tiny", "x"}).out, "\x1b[31mred\xC3\xA4\n");
}

struct UsageCase {
  std::vector<std::string> arguments;
  std::string err;
};

TEST_F(RunCommand, RefusesWrongUseBeforeItAsksAnybody) {
  const UsageCase kCases[] = {
      {{"rnu", "tiny"},
       "glm: there is no command 'rnu'; did you mean 'run'?\n"
       "  'glm --help' lists the commands\n"},
      {{"delete", "tiny"},
       "glm: there is no command 'delete'; did you mean 'rm'?\n"
       "  'glm --help' lists the commands\n"},
      {{"generate"},
       "glm: there is no command 'generate'; did you mean 'run'?\n"
       "  'glm --help' lists the commands\n"},
      {{"del"}, "glm: there is no command 'del'\n  'glm --help' lists the commands\n"},
      {{"run"}, "glm: model is required\n  'glm run --help' shows what is possible\n"},
      {{"run", "tiny", "--temprature", "1"},
       "glm: there is no flag '--temprature'; did you mean '--temperature'?\n"
       "  'glm run --help' lists the flags\n"},
      {{"run", "tiny", "--temperature", "warm", "x"},
       "glm: --temperature: temperature wants a number in [0, 2], got 'warm'\n"},
      {{"run", "tiny", "--keepalive", "soon", "x"},
       "glm: --keepalive: 'soon' is no duration; write seconds, or a number with ms, s, m or h "
       "such "
       "as 5m or 1h30m\n"},
      {{"--host", "a b", "list"},
       "glm: --host: 'a b' is no address of a daemon; write host:port such as 127.0.0.1:11435\n"},
      {{"help", "rnu"},
       "glm: there is no command 'rnu'; did you mean 'run'?\n"
       "  'glm --help' lists the commands\n"},
      {{"tokenize", "tiny", "hello"},
       "glm: 'hello' was not expected: tokenize reads its text from standard input\n"
       "  'glm tokenize --help' shows what is possible\n"},
      {{"stop"}, "glm: stop wants a model, or --all\n"},
      {{"show", "a", "b"},
       "glm: The following argument was not expected: b\n"
       "  'glm show --help' shows what is possible\n"},
  };
  for (const UsageCase& test : kCases) {
    const Ran ran = glm(test.arguments);
    EXPECT_EQ(ran.exit_code, 2) << test.err;
    EXPECT_EQ(ran.err, test.err);
    EXPECT_EQ(ran.out, "");
  }
}

TEST_F(Commands, ExitWithTheCodeOfTheError) {
  struct Case {
    int status;
    const char *body, *err;
    int exit_code;
  };
  const Case kCases[] = {
      {400, R"({"error":"bad name","code":"invalid_argument"})", "bad name", 2},
      {404, R"({"error":"model \"x\" not found","code":"not_found"})", "model \"x\" not found", 3},
      {409, R"({"error":"taken","code":"already_exists"})", "taken", 4},
      {500, R"({"error":"digest differs","code":"corrupt"})", "digest differs", 5},
      {503, R"({"error":"hub is down","code":"unavailable"})", "hub is down", 6},
      {400, R"({"error":"no such format","code":"unsupported"})", "no such format", 7},
      {403, R"({"error":"gated","code":"permission"})", "gated", 8},
      {503, R"({"error":"disk is full","code":"exhausted"})", "disk is full", 9},
      {500, R"({"error":"CUDA","code":"device"})", "CUDA", 10},
      {500, R"({"error":"oops","code":"internal"})", "oops", 1},
      {404, R"({"error":"without a code"})", "without a code", 3},
      {404, R"({"error":"odd code","code":"teapot"})", "odd code", 3},
      {502, "<html>", "", 6},
      {418, "", "", 1},
      {500, R"({"error":"two\nlines\u001b[2J"})", "two\nlines[2J", 1},
  };
  for (const Case& test : kCases) {
    daemon.on("DELETE /api/delete", one(test.body, test.status));
    const Ran ran = glm({"rm", "x"});
    EXPECT_EQ(ran.exit_code, test.exit_code) << test.body;
    EXPECT_EQ(ran.out, "");
    const std::string want = *test.err == 0
                                 ? "glm: rm x: the server at " + daemon.host() +
                                       " answered with status " + std::to_string(test.status) + "\n"
                                 : "glm: rm x: " + std::string(test.err) + "\n";
    EXPECT_EQ(ran.err, want);
  }
}

using PullCommand = Commands;

const std::vector<std::string> kPullLines = {
    R"({"status":"pulling manifest"})",
    R"({"status":"pulling 4d1c3bf1b4ba","digest":"sha256:4d1c","file":"model.safetensors","total":1000000,"completed":0})",
    R"({"status":"pulling 4d1c3bf1b4ba","digest":"sha256:4d1c","file":"model.safetensors","total":1000000,"completed":1000000})",
    R"({"status":"verifying sha256 digest"})",
    R"({"status":"writing manifest"})",
    R"({"status":"success"})"};

TEST_F(PullCommand, WritesPlainLinesWhenPiped) {
  daemon.on("POST /api/pull", FakeAnswer{.lines = kPullLines});
  const Ran ran = glm({"pull", "org/model"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err,
            "pulling manifest\n"
            "pulling 4d1c3bf1b4ba model.safetensors: 100% of 1.0 MB\n"
            "verifying sha256 digest\n"
            "writing manifest\n"
            "success\n");
}

TEST_F(PullCommand, PrintsTheDaemonsLinesAsJson) {
  daemon.on("POST /api/pull", FakeAnswer{.lines = kPullLines});
  const Ran ran = glm({"pull", "--json", "org/model"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.err, "");
  std::string want;
  for (const std::string& line : kPullLines) want += line + "\n";
  EXPECT_EQ(ran.out, want);
}

TEST_F(PullCommand, FailsWithTheErrorInTheStream) {
  daemon.on("POST /api/pull",
            FakeAnswer{.lines = {R"({"status":"pulling manifest"})",
                                 R"({"error":"the disk is full","code":"exhausted"})"}});
  const Ran ran = glm({"pull", "org/model"});
  EXPECT_EQ(ran.exit_code, 9);
  EXPECT_EQ(ran.err, "pulling manifest\nglm: pull org/model: the disk is full\n");
  const Ran as_json = glm({"pull", "--json", "org/model"});
  EXPECT_EQ(as_json.exit_code, 9);
  EXPECT_EQ(as_json.out,
            "{\"status\":\"pulling manifest\"}\n"
            "{\"error\":\"the disk is full\",\"code\":\"exhausted\"}\n");
}

TEST_F(PullCommand, FailsWhenNobodySaysSuccess) {
  daemon.on("POST /api/pull", one(R"({"status":"pulling manifest"})"));
  const Ran ran = glm({"pull", "org/model"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_EQ(ran.err, "pulling manifest\nglm: pull org/model: the daemon at " + daemon.host() +
                         " stopped reporting after 'pulling manifest'\n");
}

TEST_F(PullCommand, StopsWatchingAtCtrlC) {
  daemon.on("POST /api/pull", FakeAnswer{.lines = {R"({"status":"pulling manifest"})"},
                                         .end = FakeAnswer::End::endless});
  RunningGlm running(invocation({"pull", "--json", "org/model"}));
  ASSERT_TRUE(running.wait_for_output("pulling manifest"));
  running.signal(SIGINT);
  const Ran ran = running.finish();
  EXPECT_EQ(ran.exit_code, 130);
  EXPECT_EQ(ran.err, "");
  EXPECT_TRUE(daemon.wait_until_abandoned(std::chrono::seconds(30)));
}

using ListCommand = Commands;

constexpr const char* kTags =
    R"({"models":[{"name":"tiny:latest","model":"tiny:latest","modified_at":"2001-01-01T00:00:00Z",)"
    R"("size":14400000,"digest":"0123456789abcdef0123","details":{"quantization_level":"bf16"},)"
    R"("source":"bundled:glm-tiny","commit":"25624b53414e585bcf7d"},{"name":"odd"},7]})";

TEST_F(ListCommand, HasARowForEveryModel) {
  daemon.on("GET /api/tags", one(kTags));
  for (const char* name : {"list", "ls"}) {
    const Ran ran = glm({name});
    EXPECT_EQ(ran.exit_code, 0);
    EXPECT_EQ(ran.err, "");
    const std::size_t modified = ran.out.find("days ago");
    ASSERT_NE(modified, std::string::npos) << ran.out;
    EXPECT_TRUE(ran.out.starts_with("NAME           ID              FORMAT    SIZE       MODIFIED"))
        << ran.out;
    EXPECT_NE(ran.out.find("\ntiny:latest    0123456789ab    bf16      14.4 MB    "),
              std::string::npos)
        << ran.out;
    EXPECT_NE(ran.out.find("bundled:glm-tiny@25624b5\n"), std::string::npos) << ran.out;
    EXPECT_NE(ran.out.find("\nodd            -               -         0 B        -"),
              std::string::npos)
        << ran.out;
  }
}

TEST_F(ListCommand, PrintsTheAnswerAsJson) {
  daemon.on("GET /api/tags", one(kTags));
  const Ran ran = glm({"list", "--json"});
  EXPECT_EQ(ran.out, std::string(kTags) + "\n");
}

TEST_F(Commands, ShowPrintsAPageOrOnePart) {
  daemon.on("POST /api/show",
            one(R"({"details":{"family":"glm4_moe_lite"},"modelfile":"FROM x\n","system":"s"})"));
  EXPECT_EQ(glm({"show", "tiny"}).out,
            "  Model\n    architecture    glm4_moe_lite\n\n  System\n    s\n");
  EXPECT_EQ(glm({"show", "tiny", "--modelfile"}).out, "FROM x\n");
  EXPECT_EQ(glm({"show", "--system", "tiny"}).out, "s\n");
  const Ran missing = glm({"show", "tiny", "--license"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_EQ(missing.err, "glm: tiny: this model has no license of its own\n");
  EXPECT_TRUE(json::accept(glm({"show", "tiny", "--json"}).out));
  EXPECT_EQ(glm({"show", "tiny", "--json", "--system"}).exit_code, 2);
  EXPECT_EQ(sent("POST /api/show"), json::parse(R"({"model":"tiny","remote":true})"));
}

TEST_F(Commands, ShowOfAFolderNeedsNoDaemon) {
  daemon.stop();
  const std::string tiny = GLM_SOURCE_DIR "/models/glm-tiny-int4";
  const Ran shown = glm({"show", tiny});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_NE(shown.out.find("architecture          glm4_moe_lite\n"), std::string::npos);
  EXPECT_NE(shown.out.find("folder    " + tiny + "\n"), std::string::npos);
  EXPECT_EQ(shown.err, "");
  const json whole = json::parse(glm({"show", "--json", tiny}).out);
  EXPECT_EQ(whole["model_info"]["format"], "int4 g32 (compressed-tensors)");
  EXPECT_EQ(whole["files"].size(), 8U);
  EXPECT_NE(glm({"show", tiny, "--template"}).out.find("[gMASK]"), std::string::npos);

  const Ran file = glm({"show", tiny + "/config.json"});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_EQ(file.err, "glm: " + tiny + "/config.json is a file; name the folder it is in\n");
  EXPECT_EQ(glm({"show", "./no-such-folder"}).exit_code, 3);
}

TEST_F(Commands, ShowOfAFolderTellsWhatCannotRunAndWhy) {
  const std::string folder = home.path() / "gguf";
  std::filesystem::create_directory(folder);
  std::ofstream(folder + "/model-Q4_K_M.gguf") << "GGUF";
  const Ran shown = glm({"show", folder});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_NE(shown.out.find("  glm cannot run this: no .safetensors file, only model-Q4_K_M.gguf: "
                           "GGUF is not supported yet; use the repository's safetensors form\n"),
            std::string::npos)
      << shown.out;
}

TEST_F(Commands, PsHasARowForEveryLoadedModel) {
  daemon.on(
      "GET /api/ps",
      one(R"({"models":[)"
          R"({"name":"a","digest":"0123456789abcdef","size":1000,"size_vram":1000,"context_length":4096,"expires_at":"2318-01-01T00:00:00Z"},)"
          R"({"name":"b","digest":"1","size":1000,"size_vram":520,"context_length":0,"expires_at":"2001-01-01T00:00:00Z"},)"
          R"({"name":"c","size":1000,"size_vram":0}]})"));
  EXPECT_EQ(glm({"ps"}).out,
            "NAME    ID              SIZE      PROCESSOR          CONTEXT    UNTIL\n"
            "a       0123456789ab    1.0 kB    100% GPU           4096       Forever\n"
            "b       1               1.0 kB    48%/52% CPU/GPU    -          Stopping...\n"
            "c                       1.0 kB    100% CPU           -          -\n");
  EXPECT_TRUE(json::accept(glm({"ps", "--json"}).out));
}

TEST_F(Commands, RmGoesOnAfterANameThatFails) {
  daemon.on("DELETE /api/delete", [](const FakeRequest& request) {
    const std::string model = request.json()["model"];
    if (model == "here") return one("{}");
    return one(R"({"error":"model \")" + model + R"(\" not found","code":"not_found"})", 404);
  });
  const Ran ran = glm({"rm", "a", "here", "b"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.out, "deleted 'here'\n");
  EXPECT_EQ(ran.err, "glm: rm a: model \"a\" not found; rm b: model \"b\" not found\n");
}

TEST_F(Commands, TellThatAFolderIsNotRun) {
  const std::string folder = home.path().string();
  for (const char* verb : {"run", "pull"}) {
    const Ran ran = glm({verb, folder});
    EXPECT_EQ(ran.exit_code, 7);
    EXPECT_EQ(ran.err, "glm: " + folder +
                           " is a folder; folders can be shown, tokenized and templated, not run "
                           "or pulled: 'glm show " +
                           folder + "'\n");
  }
}

TEST_F(Commands, ShowTellsThatAFolderIsNoModel) {
  const std::string folder = home.path().string();
  std::filesystem::create_directories(home.path() / "deep" / "er");
  std::ofstream(home.path() / "x.bin") << "x";
  const Ran ran = glm({"show", folder});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.err, "glm: " + folder + ": no config.json here: not a model folder\n");
}

TEST_F(Commands, ShowSaysThatItWaitsForTheHub) {
  daemon.on("GET /api/version", one(R"({"version":"0.1.0","name":"glm","hub":"mirror.example"})"));
  daemon.on("POST /api/show", [](const FakeRequest&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    return one(R"({"model":"org/name"})");
  });
  const Ran ran = glm({"show", "org/name", "--json"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "{\"model\":\"org/name\"}\n");
  EXPECT_EQ(ran.err, "glm: waiting for mirror.example to answer about org/name, for up to 90 s\n");
}

TEST_F(Commands, ListTheCatalog) {
  const std::string models =
      R"({"models":[{"name":"tiny:latest","size":0,"source":"bundled:tiny","pulled":true},)"
      R"({"name":"m:awq","size":20200000000,"source":"org/m","pulled":false}]})";
  daemon.on("GET /api/catalog", one(models));
  EXPECT_EQ(glm({"list", "--catalog"}).out,
            "NAME           SIZE       HERE    SOURCE\n"
            "tiny:latest    -          yes     bundled:tiny\n"
            "m:awq          20.2 GB    no      org/m\n");
  EXPECT_EQ(glm({"list", "--catalog", "--json"}).out, models + "\n");
}

TEST_F(Commands, StopUnloads) {
  daemon.on("POST /api/generate", one(R"({"done":true,"done_reason":"unload"})"));
  const Ran ran = glm({"stop", "tiny"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out + ran.err, "");
  EXPECT_EQ(sent("POST /api/generate"),
            json::parse(R"({"model":"tiny","keep_alive":0,"stream":false})"));
}

TEST_F(Commands, StopAllWaitsUntilTheDaemonIsGone) {
  std::thread stopper;
  daemon.on("POST /api/shutdown", [&](const FakeRequest&) {
    stopper = std::thread([&] { daemon.stop(); });
    return one(R"({"status":"stopping"})");
  });
  const Ran ran = glm({"stop", "--all"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out + ran.err, "");
  stopper.join();

  const Ran again = glm({"stop", "--all"});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.err, "glm: no daemon runs\n");
  EXPECT_EQ(glm({"stop", "tiny"}).exit_code, 0);
  EXPECT_EQ(glm({"ps"}).out, "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL\n");
  EXPECT_EQ(glm({"ps", "--json"}).out, "{\"models\":[]}\n");
  EXPECT_EQ(json::parse(glm({"version", "--json"}).out)["daemon"], nullptr);
}

TEST_F(Commands, RmAndCpSayWhatTheyDid) {
  daemon.on("DELETE /api/delete", one(""));
  daemon.on("POST /api/copy", one("{}"));
  EXPECT_EQ(glm({"rm", "a", "b"}).out, "deleted 'a'\ndeleted 'b'\n");
  EXPECT_EQ(daemon.requests("DELETE /api/delete").size(), 2u);
  EXPECT_EQ(sent("DELETE /api/delete"), json::parse(R"({"model":"b"})"));
  EXPECT_EQ(glm({"cp", "a", "b"}).out, "copied 'a' to 'b'\n");
  EXPECT_EQ(sent("POST /api/copy"), json::parse(R"({"source":"a","destination":"b"})"));
}

TEST_F(Commands, VersionNamesBothSides) {
  const Ran ran = glm({"version"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_TRUE(ran.out.starts_with("glm 0.1.0\nbackends: ")) << ran.out;
  EXPECT_TRUE(ran.out.ends_with("\ndaemon: 0.1.0 at " + daemon.host() + "\n")) << ran.out;
  const json answer = json::parse(glm({"version", "--json"}).out);
  EXPECT_EQ(answer["version"], "0.1.0");
  EXPECT_EQ(answer["daemon"]["version"], "0.1.0");
  EXPECT_EQ(glm({"--version"}).out, "glm 0.1.0\n");
}

TEST_F(Commands, PassOnWhatTheDaemonWarnsOf) {
  daemon.on("GET /api/version",
            one(R"({"version":"0.1.0","name":"glm","warning":"the index\u001b is lost"})"));
  daemon.on("GET /api/tags", one(R"({"models":[]})"));
  daemon.on("DELETE /api/delete", one("{}"));
  EXPECT_EQ(glm({"list"}).err, "glm: warning: the index is lost\n");
  EXPECT_EQ(glm({"rm", "x"}).err, "glm: warning: the index is lost\n");
  EXPECT_EQ(glm({"version"}).err, "");
}

TEST_F(Commands, WarnOfADaemonOfAnotherVersion) {
  daemon.on("GET /api/version", one(R"({"version":"0.0.9","name":"glm"})"));
  daemon.on("GET /api/tags", one(R"({"models":[]})"));
  const Ran ran = glm({"list"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.err, "glm: warning: the daemon at " + daemon.host() +
                         " is version 0.0.9, this is 0.1.0; 'glm stop --all' ends it, and the next "
                         "command starts the new one\n");
}

TEST_F(Commands, RefuseToTalkToAnotherProgram) {
  daemon.on("GET /api/version", one(R"({"version":"0.33.0"})"));
  for (const auto& arguments : {std::vector<std::string>{"list"}, {"ps"}, {"stop", "--all"}}) {
    const Ran ran = glm(arguments);
    EXPECT_EQ(ran.exit_code, 4);
    EXPECT_EQ(ran.err, "glm: what listens at " + daemon.host() +
                           " is not glm: it answers GET /api/version with status 200 and "
                           "'{\"version\":\"0.33.0\"} '; set GLM_HOST to another address\n");
  }
}

TEST_F(Commands, RefuseADaemonOfAnotherFolderThanTheOneNamed) {
  const auto serves = [&](const std::string& folder) {
    daemon.on("GET /api/version",
              one(json{{"version", "0.1.0"}, {"name", "glm"}, {"home", folder}}.dump()));
  };
  daemon.on("GET /api/tags", one(R"({"models":[]})"));
  daemon.on("GET /api/ps", one(R"({"models":[]})"));
  daemon.on("POST /api/shutdown", one(R"({"status":"stopping"})"));
  serves("/elsewhere");
  for (const auto& arguments : {std::vector<std::string>{"list"}, {"ps"}, {"pull", "tiny"}}) {
    const Ran ran = glm(arguments);
    EXPECT_EQ(ran.exit_code, 4);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "glm: the daemon at " + daemon.host() + " serves /elsewhere, not " +
                           home.path().string() +
                           " as GLM_HOME says; give the daemon of that folder an address of its "
                           "own with GLM_HOST, or end this one first with 'env -u GLM_HOME glm "
                           "stop --all'\n");
  }
  EXPECT_EQ(glm({"stop", "--all"}).err, "glm: no daemon serves " + home.path().string() + "\n");
  EXPECT_TRUE(daemon.requests("POST /api/shutdown").empty());
  Invocation unnamed = invocation({"list"});
  unnamed.environment[1].second = "";
  EXPECT_EQ(run_glm(unnamed).exit_code, 0);
  serves((home.path() / ".").string());
  EXPECT_EQ(glm({"list"}).exit_code, 0);
  std::filesystem::create_symlink(home.path(), home.path() / "link");
  serves((home.path() / "link").string());
  EXPECT_EQ(glm({"list"}).exit_code, 0);
}

TEST_F(Commands, TakeTheHostBeforeAndAfterTheCommand) {
  daemon.on("GET /api/tags", one(R"({"models":[]})"));
  Invocation list = invocation({"--host", daemon.host(), "list"});
  list.environment[0].second = "127.0.0.1:1";
  EXPECT_EQ(run_glm(list).exit_code, 0);
  list.arguments = {"list", "--host", daemon.host()};
  EXPECT_EQ(run_glm(list).exit_code, 0);
}

TEST_F(Commands, AllExplainThemselvesAndTheirExitCodes) {
  for (const char* name : {"run", "pull", "list", "show", "ps", "stop", "rm", "cp", "version"}) {
    const Ran ran = glm({name, "--help"});
    EXPECT_EQ(ran.exit_code, 0) << name;
    EXPECT_EQ(ran.err, "");
    EXPECT_NE(ran.out.find("Exit codes: 0 done;"), std::string::npos) << ran.out;
  }
  const Ran serve = glm({"serve", "--help"});
  for (const char* name : {"GLM_HOST", "GLM_HOME", "GLM_KEEP_ALIVE", "GLM_MAX_LOADED_MODELS",
                           "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "Exit codes: 0 done;"}) {
    EXPECT_NE(serve.out.find(name), std::string::npos) << name << "\n" << serve.out;
  }
  const Ran nothing = glm({});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_EQ(nothing.out, "");
  EXPECT_NE(nothing.err.find("Subcommands:"), std::string::npos);
}

}  // namespace
}  // namespace glm::testing
