// The text is read by a parser of our own for Prometheus' format, which accepts nothing else.
#include "cmd/daemon/metrics.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace glm::daemon {
namespace {

using std::chrono::milliseconds;

struct Page {
  std::map<std::string, std::string> types;    // by family
  std::map<std::string, std::string> samples;  // "name{labels}" -> value, in order of appearance
  std::vector<std::string> order;
};

// Every line is HELP, TYPE or a sample of the family that was announced last.
Page parse(const std::string& text) {
  static const std::regex kHead("# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)");
  static const std::regex kSample(
      R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+))re");
  Page page;
  std::istringstream lines(text);
  std::string line, family;
  while (std::getline(lines, line)) {
    std::smatch match;
    if (std::regex_match(line, match, kHead)) {
      family = match[2];
      if (match[1] == "TYPE") {
        EXPECT_FALSE(page.types.contains(family)) << "announced twice: " << family;
        page.types[family] = match[3];
      }
      continue;
    }
    EXPECT_TRUE(std::regex_match(line, match, kSample)) << line;
    const std::string name = match[1];
    const bool histogram = page.types[family] == "histogram";
    EXPECT_TRUE(name == family ||
                (histogram && (name == family + "_bucket" || name == family + "_sum" ||
                               name == family + "_count")))
        << name << " in " << family;
    const std::string key = name + "{" + std::string(match[2]) + "}";
    EXPECT_FALSE(page.samples.contains(key)) << key;
    page.samples[key] = match[3];
    page.order.push_back(key);
  }
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  return page;
}

TEST(Metrics, HaveTheNamesThatDashboardsForVllmAskFor) {
  Metrics metrics;
  metrics.model("m");
  const Page page = parse(metrics.text());
  const std::map<std::string, std::string> want = {
      {"vllm:num_requests_running", "gauge"},
      {"vllm:num_requests_waiting", "gauge"},
      {"vllm:kv_cache_usage_perc", "gauge"},
      {"vllm:prefix_cache_queries_total", "counter"},
      {"vllm:prefix_cache_hits_total", "counter"},
      {"vllm:num_preemptions_total", "counter"},
      {"vllm:prompt_tokens_total", "counter"},
      {"vllm:generation_tokens_total", "counter"},
      {"vllm:request_success_total", "counter"},
      {"vllm:time_to_first_token_seconds", "histogram"},
      {"vllm:inter_token_latency_seconds", "histogram"},
      {"vllm:time_per_output_token_seconds", "histogram"},
      {"vllm:request_time_per_output_token_seconds", "histogram"},
      {"vllm:e2e_request_latency_seconds", "histogram"},
      {"glm:model_loads_total", "counter"},
      {"glm:runner_deaths_total", "counter"},
  };
  EXPECT_EQ(page.types, want);
}

TEST(Metrics, CountWhatRunnersTellAlsoWhenOneFollowsAnother) {
  Metrics metrics;
  ModelMetrics& model = metrics.model("m");
  const runner::EngineStats early{
      .running = 1, .pages_used = 1, .pages_total = 4, .prompt_tokens = 10};
  const runner::EngineStats late{.running = 2,
                                 .waiting = 5,
                                 .pages_used = 3,
                                 .pages_total = 4,
                                 .prompt_tokens = 30,
                                 .generated_tokens = 7,
                                 .prefix_queries = 64,
                                 .prefix_hits = 32,
                                 .preemptions = 1};
  model.take({}, early);
  model.take(early, late);
  model.take({}, early);  // of another runner, which starts from nothing
  const Page page = parse(metrics.text());
  EXPECT_EQ(page.samples.at("vllm:num_requests_running{model_name=\"m\"}"), "1");
  EXPECT_EQ(page.samples.at("vllm:num_requests_waiting{model_name=\"m\"}"), "0");
  EXPECT_EQ(page.samples.at("vllm:kv_cache_usage_perc{model_name=\"m\"}"), "0.25");
  EXPECT_EQ(page.samples.at("vllm:prompt_tokens_total{model_name=\"m\"}"), "40");
  EXPECT_EQ(page.samples.at("vllm:generation_tokens_total{model_name=\"m\"}"), "7");
  EXPECT_EQ(page.samples.at("vllm:prefix_cache_queries_total{model_name=\"m\"}"), "64");
  EXPECT_EQ(page.samples.at("vllm:prefix_cache_hits_total{model_name=\"m\"}"), "32");
  EXPECT_EQ(page.samples.at("vllm:num_preemptions_total{model_name=\"m\"}"), "1");
}

TEST(Metrics, MeasureAnAnswerFromItsArrival) {
  Metrics metrics;
  ModelMetrics& model = metrics.model("m");
  const Clock::Steady arrived{};
  AnswerMeter meter(model, arrived);
  meter.tokens(1, arrived + milliseconds(30));
  meter.tokens(0, arrived + milliseconds(31));
  meter.tokens(1, arrived + milliseconds(37));
  meter.tokens(2, arrived + milliseconds(45));  // 4 ms each
  meter.finished(Finished::length, arrived + milliseconds(45));
  AnswerMeter(model, arrived).finished(Finished::abort, arrived + milliseconds(1));
  const Page page = parse(metrics.text());
  const auto bucket = [&](const std::string& name, const std::string& bound) {
    return page.samples.at(name + "_bucket{model_name=\"m\",le=\"" + bound + "\"}");
  };
  EXPECT_EQ(bucket("vllm:time_to_first_token_seconds", "0.02"), "0");
  EXPECT_EQ(bucket("vllm:time_to_first_token_seconds", "0.04"), "1");
  EXPECT_EQ(bucket("vllm:inter_token_latency_seconds", "0.0025"), "0");
  EXPECT_EQ(bucket("vllm:inter_token_latency_seconds", "0.005"), "2");
  EXPECT_EQ(bucket("vllm:inter_token_latency_seconds", "0.01"), "3");
  EXPECT_EQ(bucket("vllm:inter_token_latency_seconds", "+Inf"), "3");
  EXPECT_EQ(page.samples.at("vllm:inter_token_latency_seconds_sum{model_name=\"m\"}"), "0.015");
  EXPECT_EQ(page.samples.at("vllm:request_time_per_output_token_seconds_sum{model_name=\"m\"}"),
            "0.005");
  EXPECT_EQ(page.samples.at("vllm:e2e_request_latency_seconds_sum{model_name=\"m\"}"), "0.045");
  EXPECT_EQ(page.samples.at("vllm:e2e_request_latency_seconds_count{model_name=\"m\"}"), "1");
  EXPECT_EQ(bucket("vllm:e2e_request_latency_seconds", "1.0"), "1");
  const std::string ends = "vllm:request_success_total{model_name=\"m\",finished_reason=";
  EXPECT_EQ(page.samples.at(ends + "\"length\"}"), "1");
  EXPECT_EQ(page.samples.at(ends + "\"abort\"}"), "1");
  EXPECT_EQ(page.samples.at(ends + "\"stop\"}"), "0");
}

TEST(Metrics, HaveBucketsThatGrowAndEndWithTheirCount) {
  Metrics metrics;
  ModelMetrics& model = metrics.model("m");
  for (int ms = 1; ms < 100'000; ms = ms * 3 / 2 + 1) model.whole.observe(milliseconds(ms));
  const std::vector<std::uint64_t> counts = model.whole.cumulative();
  EXPECT_TRUE(std::is_sorted(counts.begin(), counts.end()));
  EXPECT_EQ(counts.size(), model.whole.bounds().size() + 1);
  EXPECT_TRUE(std::is_sorted(model.whole.bounds().begin(), model.whole.bounds().end()));
  const Page page = parse(metrics.text());
  EXPECT_EQ(page.samples.at("vllm:e2e_request_latency_seconds_count{model_name=\"m\"}"),
            std::to_string(counts.back()));
}

TEST(Metrics, EscapeTheNamesOfModels) {
  Metrics metrics;
  metrics.model("a\"b\\c\nd");
  metrics.model("org/name@v1");
  const Page page = parse(metrics.text());
  EXPECT_TRUE(page.samples.contains("vllm:num_requests_running{model_name=\"a\\\"b\\\\c\\nd\"}"));
  EXPECT_TRUE(page.samples.contains("vllm:num_requests_running{model_name=\"org/name@v1\"}"));
}

}  // namespace
}  // namespace glm::daemon
