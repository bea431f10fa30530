// The client against a real server on this machine, whose answers are scripted. Nothing here
// depends on how fast the machine is: delays are lower bounds.
#include "cmd/cli/bench_load.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "tests/fakes/http_server.h"

namespace glm::bench {
namespace {

using fakes::Content;
using fakes::HttpAnswer;
using fakes::HttpRequest;
using fakes::HttpServer;
using std::chrono::milliseconds;

constexpr const char* kToken = "data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
constexpr const char* kTail =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n"
    "data: [DONE]\n\n";

HttpAnswer stream(Content content) {
  HttpAnswer answer;
  answer.headers = {{"Content-Type", "text/event-stream"}};
  answer.content = std::move(content);
  return answer;
}

LoadTarget target_of(const HttpServer& server) {
  LoadTarget target;
  target.address = *HostAddress::parse(server.url());
  return target;
}

Result<LoadRun> load(const HttpServer& server, std::vector<std::string> bodies,
                     std::size_t concurrency) {
  return run_load(target_of(server), bodies, concurrency, system_clock(), [] { return false; });
}

TEST(RunLoad, AnswersEveryBodyInItsPlace) {
  std::atomic<int> under_way = 0;
  std::atomic<int> most = 0;
  HttpServer server({}, [&](const HttpRequest& request) {
    EXPECT_EQ(request.target, "/v1/completions");
    EXPECT_EQ(request.header("content-type"), "application/json");
    EXPECT_EQ(request.header("authorization"), "");
    const int now = ++under_way;
    int seen = most.load();
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::sleep_for(milliseconds(2));
    --under_way;
    // A large body must arrive whole; how large comes back as the count of prompt tokens.
    return stream(fakes::content_of(
        std::string(kToken) + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":" +
        std::to_string(request.body.size()) + ",\"completion_tokens\":1}}\n\n"));
  });
  std::vector<std::string> bodies;
  for (std::size_t i = 0; i < 40; ++i) bodies.emplace_back(i * i * i * 20 + 1, 'x');
  const Result<LoadRun> run = load(server, bodies, 5);
  ASSERT_TRUE(run.ok()) << run.error().message;
  ASSERT_EQ(run->records.size(), bodies.size());
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    EXPECT_EQ(run->records[i].failure, "");
    EXPECT_EQ(run->records[i].prompt_tokens, static_cast<std::int64_t>(bodies[i].size()));
  }
  EXPECT_LE(most, 5);
}

TEST(RunLoad, SeesTheDelaysOfTheServer) {
  constexpr milliseconds kBefore{60};
  constexpr milliseconds kBetween{30};
  const std::string second = std::string(kToken) + kTail;
  HttpServer server({}, [&](const HttpRequest&) {
    std::this_thread::sleep_for(kBefore);
    Content content;
    const std::string all = kToken + second;
    content.size_bytes = all.size();
    content.read = [all](std::uint64_t offset, std::size_t length) {
      return all.substr(offset, length);
    };
    HttpAnswer answer = stream(std::move(content));
    answer.bytes_per_second = std::string(kToken).size() * 1000 / kBetween.count();
    return answer;
  });
  const Result<LoadRun> run = load(server, {"{}", "{}"}, 1);
  ASSERT_TRUE(run.ok());
  for (const RequestRecord& record : run->records) {
    ASSERT_EQ(record.failure, "");
    EXPECT_GE(record.first - record.begun, kBefore);
    ASSERT_EQ(record.gaps.size(), 1u);
    EXPECT_EQ(record.last - record.first, record.gaps[0]);
    EXPECT_EQ(record.output_tokens, 2);
  }
  EXPECT_GE(run->records[1].begun, run->records[0].last);  // one at a time
  EXPECT_GE(run->ended - run->begun, 2 * kBefore);
}

TEST(RunLoad, KeepsFailuresApart) {
  std::atomic<int> count = 0;
  HttpServer server({}, [&](const HttpRequest&) {
    HttpAnswer answer = stream(fakes::content_of(std::string(kToken) + kTail));
    switch (count++ % 3) {
      case 1:
        answer.status = 503;
        answer.content = fakes::content_of(R"({"error":{"message":"busy"}})");
        break;
      case 2:
        answer.cut_after_bytes = 40;
        break;
      default:
        break;
    }
    return answer;
  });
  const Result<LoadRun> run = load(server, std::vector<std::string>(9, "{}"), 1);
  ASSERT_TRUE(run.ok());
  for (std::size_t i = 0; i < 9; ++i) {
    const char* want[] = {"", "status 503: busy",
                          "the connection broke in the middle of the answer"};
    EXPECT_EQ(run->records[i].failure, want[i % 3]) << i;
  }
}

TEST(RunLoad, SendsTheKey) {
  HttpServer server({}, [&](const HttpRequest& request) {
    EXPECT_EQ(request.header("authorization"), "Bearer secret");
    return stream(fakes::content_of(std::string(kToken) + kTail));
  });
  LoadTarget target = target_of(server);
  target.api_key = "secret";
  const std::vector<std::string> bodies = {"{}"};
  const auto run = run_load(target, bodies, 1, system_clock(), [] { return false; });
  EXPECT_EQ(run->records[0].failure, "");
}

TEST(RunLoad, SaysThatNobodyListens) {
  LoadTarget target;
  {
    const HttpServer server({}, [](const HttpRequest&) { return HttpAnswer{}; });
    target = target_of(server);
  }
  const std::vector<std::string> bodies(3, "{}");
  const auto run = run_load(target, bodies, 2, system_clock(), [] { return false; });
  ASSERT_TRUE(run.ok());
  for (const RequestRecord& record : run->records) {
    EXPECT_EQ(record.failure, "connect to " + target.address.str() + ": Connection refused");
  }
}

TEST(RunLoad, CanBeInterrupted) {
  std::atomic<bool> release = false;
  HttpServer server({}, [&](const HttpRequest&) {
    while (!release) std::this_thread::sleep_for(milliseconds(5));
    return HttpAnswer{};
  });
  const std::vector<std::string> bodies = {"{}"};
  const auto run = run_load(target_of(server), bodies, 1, system_clock(), [] { return true; });
  release = true;
  ASSERT_FALSE(run.ok());
  EXPECT_EQ(run.error().code, Errc::cancelled);
}

}  // namespace
}  // namespace glm::bench
