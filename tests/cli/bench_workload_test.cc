#include "cmd/cli/bench_workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

namespace glm::bench {
namespace {

using nlohmann::json;

Workload workload(std::int64_t input_len) {
  return {.model = "m", .input_len = input_len, .output_len = 9, .vocab_size = 97};
}

TEST(RequestSource, AsksForExactlySoMuch) {
  RequestSource source(workload(33), 1);
  const json body = json::parse(source.next(1).front());
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["prompt"].size(), 33u);
  for (const json& id : body["prompt"]) {
    EXPECT_GE(id.get<int>(), 0);
    EXPECT_LT(id.get<int>(), 97);
  }
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["min_tokens"], 9);
  EXPECT_EQ(body["ignore_eos"], true);
  EXPECT_EQ(body["temperature"], 0.0);
  EXPECT_EQ(body["stream"], true);
  EXPECT_EQ(body["stream_options"]["include_usage"], true);
}

TEST(RequestSource, GivesTheSameForTheSameSeedAndNothingTwice) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(seed);
  RequestSource one(workload(16), seed), same(workload(16), seed), other(workload(16), seed + 1);
  const std::vector<std::string> bodies = one.next(200);
  std::vector<std::string> again = same.next(50);
  const std::vector<std::string> rest = same.next(150);
  again.insert(again.end(), rest.begin(), rest.end());
  EXPECT_EQ(bodies, again);
  EXPECT_EQ(std::set<std::string>(bodies.begin(), bodies.end()).size(), bodies.size());
  EXPECT_NE(other.next(1).front(), bodies.front());
}

TEST(RequestSource, DrawsFromTheWholeVocabulary) {
  RequestSource source(workload(97 * 100), 5);
  std::set<int> seen;
  const json body = json::parse(source.next(1).front());
  for (const json& id : body["prompt"]) seen.insert(id.get<int>());
  EXPECT_EQ(seen.size(), 97u);
}

TEST(RequestSource, WritesSoManyWords) {
  Workload words = workload(12);
  words.prompts = Workload::Prompts::words;
  RequestSource source(words, 3);
  const auto count = [&] {
    const std::string text = json::parse(source.next(1).front())["prompt"];
    return std::count(text.begin(), text.end(), ' ') + 1;
  };
  EXPECT_EQ(count(), 12);
  source.set_input_len(7);
  EXPECT_EQ(count(), 7);
}

}  // namespace
}  // namespace glm::bench
