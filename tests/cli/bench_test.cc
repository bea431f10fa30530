// `glm bench --serve` as a program: what stands on which stream, what was sent, the exit code.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/cli/glm_process.h"
#include "tests/fakes/http_server.h"

namespace glm::testing {
namespace {

using fakes::HttpAnswer;
using fakes::HttpRequest;
using nlohmann::json;

constexpr const char* kStream =
    "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n"
    "data: [DONE]\n\n";

HttpAnswer answer(int status, std::string body) {
  HttpAnswer answer;
  answer.status = status;
  answer.content = fakes::content_of(std::move(body));
  return answer;
}

class BenchCommand : public ::testing::Test {
 protected:
  BenchCommand() : server({}, [this](const HttpRequest& request) { return serve(request); }) {}

  using Completions = std::function<HttpAnswer(int number)>;

  HttpAnswer serve(const HttpRequest& request) {
    Completions complete;
    {
      const std::lock_guard lock(mutex);
      if (request.target == "/api/show") return answer(200, show);
      if (request.target != "/v1/completions") return answer(404, "{}");
      bodies.push_back(json::parse(request.body));
      complete = completions;
    }
    return complete(++count);
  }
  void show_says(std::string text) {
    const std::lock_guard lock(mutex);
    show = std::move(text);
  }
  void complete_with(Completions own) {
    const std::lock_guard lock(mutex);
    completions = std::move(own);
  }

  Ran bench(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"bench", "--serve", server.url(), "m"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_glm({.arguments = std::move(arguments),
                    .input = {},
                    .environment = {{"GLM_HOME", home.path().string()}}});
  }

  std::string show = R"({"model_info":{"vocab_size":11}})";
  Completions completions = [](int) { return answer(200, kStream); };
  std::atomic<int> count = 0;
  std::mutex mutex;
  std::vector<json> bodies;
  TempFolder home;
  fakes::HttpServer server;
};

std::vector<json> lines(const std::string& text) {
  std::vector<json> values;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) values.push_back(json::parse(line));
  return values;
}

TEST_F(BenchCommand, MeasuresEveryLevelAndCountsNoWarmups) {
  const Ran ran = bench({"--concurrency", "1,3", "--input-len", "4", "--output-len", "2",
                         "--num-prompts", "5", "--json", "-"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  const std::vector<json> levels = lines(ran.out);
  ASSERT_EQ(levels.size(), 2u);
  EXPECT_EQ(levels[0]["max_concurrency"], 1);
  EXPECT_EQ(levels[1]["max_concurrency"], 3);
  for (const json& level : levels) {
    EXPECT_EQ(level["model_id"], "m");
    EXPECT_EQ(level["completed"], 5);
    EXPECT_EQ(level["failed"], 0);
    EXPECT_EQ(level["total_input_tokens"], 20);
    EXPECT_EQ(level["total_output_tokens"], 10);
    EXPECT_GT(level["output_throughput"], 0.0);
    for (const char* name : {"mean_ttft_ms", "median_tpot_ms", "std_itl_ms", "p99_e2el_ms"}) {
      EXPECT_TRUE(level[name].is_number()) << name;
    }
  }
  EXPECT_EQ(count, 1 + 1 + 5 + 3 + 5);
  std::set<std::string> prompts;
  for (const json& body : bodies) {
    EXPECT_EQ(body["prompt"].size(), 4u);
    for (const json& id : body["prompt"]) EXPECT_LT(id.get<int>(), 11);
    prompts.insert(body["prompt"].dump());
  }
  EXPECT_EQ(prompts.size(), bodies.size());
}

TEST_F(BenchCommand, PrintsATableAndWritesTheFile) {
  const std::string file = (home.path() / "levels.json").string();
  const Ran ran = bench({"--concurrency", "2", "--input-len", "4", "--output-len", "2",
                         "--num-prompts", "4", "--json", file});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out.substr(0, ran.out.find("    ")), "STREAMS");
  EXPECT_NE(ran.out.find("\n2          4           0 "), std::string::npos) << ran.out;
  const std::size_t announced = ran.err.find("concurrency 2: 4 requests, and ");
  EXPECT_NE(announced, std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("concurrency 2: 4 requests in ", announced), std::string::npos) << ran.err;
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  ASSERT_EQ(lines(text.str()).size(), 1u);
}

TEST_F(BenchCommand, RefusesAFileThatCannotBeWrittenBeforeItAsksAnything) {
  const std::string file = (home.path() / "no such folder" / "levels.json").string();
  const Ran ran = bench({"--num-prompts", "4", "--json", file});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.err, "glm: --json " + file + ": it cannot be written: No such file or directory\n");
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(count, 0);
}

TEST_F(BenchCommand, FailsWhenRequestsDoAndShowsTheTableAllTheSame) {
  complete_with([](int number) {
    return number % 3 == 0 ? answer(503, R"({"error":{"message":"busy"}})") : answer(200, kStream);
  });
  const Ran ran = bench({"--output-len", "2", "--num-prompts", "6", "--num-warmups", "0"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_NE(ran.out.find("STREAMS"), std::string::npos);
  EXPECT_NE(
      ran.err.find("glm: at concurrency 1, 2 of 6 requests failed; the first: status 503: busy"),
      std::string::npos)
      << ran.err;
}

TEST_F(BenchCommand, TellsAMistakeOnce) {
  complete_with([](int) { return answer(400, R"({"error":{"message":"no such model"}})"); });
  const Ran ran = bench({});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_EQ(ran.out, "");
  const std::string address = server.url().substr(7);
  EXPECT_EQ(ran.err, "a first request to " + address + ", so that m is loaded …\n" +
                         "glm: the first request to " + address +
                         " failed: status 400: no such model\n");
  EXPECT_EQ(count, 1);
}

TEST_F(BenchCommand, SaysWhatItHadToGuess) {
  show_says("{}");
  const Ran ran =
      bench({"--input-len", "4", "--output-len", "7", "--num-prompts", "2", "--num-warmups", "0"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_NE(ran.err.find("the first 32000 are used; --vocab-size says it"), std::string::npos);
  EXPECT_NE(ran.err.find("4 tokens came where 14 were asked for"), std::string::npos) << ran.err;
}

TEST_F(BenchCommand, SendsSoManyWordsThatTheTokensAreRight) {
  // Two tokens a word: the first request tells.
  complete_with([this](int) {
    const std::lock_guard lock(mutex);
    const std::string text = bodies.back()["prompt"];
    const auto words = std::count(text.begin(), text.end(), ' ') + 1;
    return answer(200,
                  "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[],\"usage\":{"
                  "\"prompt_tokens\":" +
                      std::to_string(2 * words) + ",\"completion_tokens\":1}}\n\n");
  });
  const Ran ran = bench({"--prompts", "words", "--input-len", "10", "--output-len", "1",
                         "--num-prompts", "3", "--num-warmups", "0", "--json", "-"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(json::parse(ran.out)["total_input_tokens"], 30);
}

TEST_F(BenchCommand, WantsAServer) {
  const Ran ran = run_glm(
      {.arguments = {"bench", "m", "--serve", "127.0.0.1:1"}, .input = {}, .environment = {}});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err,
            "glm: no server answers at 127.0.0.1:1; --serve wants the address of one that runs\n");
}

}  // namespace
}  // namespace glm::testing
