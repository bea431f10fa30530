#include "cmd/daemon/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace glm::daemon {
namespace {

// vLLM's. Between tokens there are three finer ones: here a token may take a millisecond.
constexpr double kFirstTokenBounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                        0.25,  0.5,   0.75, 1,    2.5,  5,    7.5,  10,
                                        20,    40,    80,   160,  640,  2560};
constexpr double kTokenBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                   0.15,  0.2,    0.3,   0.4,  0.5,   0.75, 1,     2.5,
                                   5,     7.5,    10,    20,   40,    80};
constexpr double kRequestBounds[] = {0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                     30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680};

using Count = std::atomic<std::uint64_t> ModelMetrics::*;

struct NumberRow {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  Count count;
};

constexpr NumberRow kNumbers[] = {
    {"vllm:num_requests_running", "gauge", "Requests in the running batch.",
     &ModelMetrics::running},
    {"vllm:num_requests_waiting", "gauge", "Requests waiting for their turn.",
     &ModelMetrics::waiting},
    {"vllm:prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache.",
     &ModelMetrics::prefix_queries},
    {"vllm:prefix_cache_hits_total", "counter", "Prompt tokens found in the prefix cache.",
     &ModelMetrics::prefix_hits},
    {"vllm:num_preemptions_total", "counter", "Sequences put back for want of cache pages.",
     &ModelMetrics::preemptions},
    {"vllm:prompt_tokens_total", "counter", "Prompt tokens worked off.",
     &ModelMetrics::prompt_tokens},
    {"vllm:generation_tokens_total", "counter", "Tokens generated.",
     &ModelMetrics::generated_tokens},
    {"glm:model_loads_total", "counter", "Runners that became ready.", &ModelMetrics::loads},
    {"glm:runner_deaths_total", "counter", "Runners that died or hung.",
     &ModelMetrics::runner_deaths},
};

struct HistogramRow {
  std::string_view name;
  std::string_view help;
  Histogram ModelMetrics::*histogram;
};

// The time between tokens stands under its older name as well, which dashboards still ask for.
constexpr HistogramRow kHistograms[] = {
    {"vllm:time_to_first_token_seconds", "From a request's arrival to its first token.",
     &ModelMetrics::first_token},
    {"vllm:inter_token_latency_seconds", "From one token of an answer to the next.",
     &ModelMetrics::inter_token},
    {"vllm:time_per_output_token_seconds", "From one token of an answer to the next.",
     &ModelMetrics::inter_token},
    {"vllm:request_time_per_output_token_seconds",
     "Mean time per token of an answer but the first.", &ModelMetrics::output_token},
    {"vllm:e2e_request_latency_seconds", "From a request's arrival to its last token.",
     &ModelMetrics::whole},
};

// A label's value between quotes.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

// As Prometheus writes bounds itself: "0.5", "1.0".
std::string bound(double seconds) {
  std::string text = fmt::format("{}", seconds);
  if (text.find('.') == std::string::npos) text += ".0";
  return text;
}

void add_head(std::string& out, std::string_view name, std::string_view type,
              std::string_view help) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void add_histogram(std::string& out, std::string_view name, const std::string& label,
                   const Histogram& histogram) {
  const auto line = std::back_inserter(out);
  const std::vector<std::uint64_t> counts = histogram.cumulative();
  for (std::size_t i = 0; i < histogram.bounds().size(); ++i) {
    fmt::format_to(line, "{}_bucket{{{},le=\"{}\"}} {}\n", name, label,
                   bound(histogram.bounds()[i]), counts[i]);
  }
  fmt::format_to(line, "{}_bucket{{{},le=\"+Inf\"}} {}\n", name, label, counts.back());
  fmt::format_to(line, "{}_sum{{{}}} {}\n", name, label, histogram.sum_seconds());
  fmt::format_to(line, "{}_count{{{}}} {}\n", name, label, counts.back());
}

}  // namespace

Histogram::Histogram(std::span<const double> bounds)
    : bounds_(bounds), counts_(bounds.size() + 1) {}

void Histogram::observe(Clock::Steady::duration value, std::uint64_t times) {
  const double seconds = std::chrono::duration<double>(value).count();
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), seconds) - bounds_.begin();
  counts_[static_cast<std::size_t>(at)].fetch_add(times, std::memory_order_relaxed);
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(value).count();
  sum_ns_.fetch_add(ns * static_cast<std::int64_t>(times), std::memory_order_relaxed);
}

std::vector<std::uint64_t> Histogram::cumulative() const {
  std::vector<std::uint64_t> counts;
  std::uint64_t total = 0;
  for (const auto& count : counts_) counts.push_back(total += count);
  return counts;
}

double Histogram::sum_seconds() const {
  return static_cast<double>(sum_ns_.load()) / 1e9;
}

ModelMetrics::ModelMetrics()
    : first_token(kFirstTokenBounds),
      inter_token(kTokenBounds),
      output_token(kTokenBounds),
      whole(kRequestBounds) {}

void ModelMetrics::take(const runner::EngineStats& before, const runner::EngineStats& now) {
  running = now.running;
  waiting = now.waiting;
  cache_use = now.pages_total > 0
                  ? static_cast<double>(now.pages_used) / static_cast<double>(now.pages_total)
                  : 0.0;
  prefix_queries += now.prefix_queries - before.prefix_queries;
  prefix_hits += now.prefix_hits - before.prefix_hits;
  preemptions += now.preemptions - before.preemptions;
  prompt_tokens += now.prompt_tokens - before.prompt_tokens;
  generated_tokens += now.generated_tokens - before.generated_tokens;
}

ModelMetrics& Metrics::model(const std::string& name) {
  MutexLock lock(mutex_);
  std::unique_ptr<ModelMetrics>& metrics = models_[name];
  if (!metrics) metrics = std::make_unique<ModelMetrics>();
  return *metrics;
}

std::string Metrics::text() const {
  std::string out;
  const auto line = std::back_inserter(out);
  MutexLock lock(mutex_);
  std::map<std::string, const ModelMetrics*> models;  // by label
  for (const auto& [name, metrics] : models_) {
    models.emplace(fmt::format("model_name=\"{}\"", escaped(name)), metrics.get());
  }
  for (const NumberRow& row : kNumbers) {
    add_head(out, row.name, row.type, row.help);
    for (const auto& [label, metrics] : models) {
      fmt::format_to(line, "{}{{{}}} {}\n", row.name, label, (metrics->*row.count).load());
    }
  }
  add_head(out, "vllm:kv_cache_usage_perc", "gauge", "Part of the cache pages in use, 1 is all.");
  for (const auto& [label, metrics] : models) {
    fmt::format_to(line, "vllm:kv_cache_usage_perc{{{}}} {}\n", label, metrics->cache_use.load());
  }
  add_head(out, "vllm:request_success_total", "counter", "Answers by how they ended.");
  for (const auto& [label, metrics] : models) {
    for (std::size_t how = 0; how < kFinishedNames.size(); ++how) {
      fmt::format_to(line, "vllm:request_success_total{{{},finished_reason=\"{}\"}} {}\n", label,
                     kFinishedNames[how], metrics->finished[how].load());
    }
  }
  for (const HistogramRow& row : kHistograms) {
    add_head(out, row.name, "histogram", row.help);
    for (const auto& [label, metrics] : models) {
      add_histogram(out, row.name, label, metrics->*row.histogram);
    }
  }
  return out;
}

void AnswerMeter::tokens(std::size_t count, Clock::Steady now) {
  if (count == 0) return;
  if (tokens_ == 0) {
    first_ = now;
    metrics_->first_token.observe(now - arrived_);
    if (count > 1) metrics_->inter_token.observe({}, count - 1);
  } else {
    metrics_->inter_token.observe((now - last_) / count, count);
  }
  last_ = now;
  tokens_ += count;
}

void AnswerMeter::finished(Finished how, Clock::Steady now) {
  ++metrics_->finished[static_cast<std::size_t>(how)];
  if (how != Finished::stop && how != Finished::length) return;
  metrics_->whole.observe(now - arrived_);
  if (tokens_ > 1) {
    metrics_->output_token.observe((last_ - first_) / (tokens_ - 1));
  }
}

}  // namespace glm::daemon
