// What the daemon counts, and how it tells Prometheus: names, units and buckets are vLLM's where
// vLLM has them, with its prefix, so that dashboards made for it show glm as well (docs/api.md).
//
// Thread safety: all members may be called from any thread; what is counted per token is an atomic
// addition.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "runner/frames.h"

namespace glm::daemon {

// Counts of values at or below bounds, in seconds.
class Histogram {
 public:
  // `bounds` grow and live for the whole program.
  explicit Histogram(std::span<const double> bounds);

  void observe(Clock::Steady::duration value, std::uint64_t times = 1);

  std::span<const double> bounds() const { return bounds_; }
  // At or below each bound, then all.
  std::vector<std::uint64_t> cumulative() const;
  double sum_seconds() const;

 private:
  std::span<const double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;  // by bucket, the last one has no bound
  std::atomic<std::int64_t> sum_ns_ = 0;
};

// vLLM's words for how an answer ended.
enum class Finished { stop, length, abort, error };
inline constexpr std::array<std::string_view, 4> kFinishedNames = {"stop", "length", "abort",
                                                                   "error"};

struct ModelMetrics {
  ModelMetrics();

  // From the runner: counters grow by what it added since it told last.
  void take(const runner::EngineStats& before, const runner::EngineStats& now);

  std::atomic<std::uint64_t> running = 0, waiting = 0;
  std::atomic<double> cache_use = 0;  // 0 … 1
  std::atomic<std::uint64_t> prefix_queries = 0, prefix_hits = 0, preemptions = 0;
  std::atomic<std::uint64_t> prompt_tokens = 0, generated_tokens = 0;
  std::array<std::atomic<std::uint64_t>, kFinishedNames.size()> finished{};
  std::atomic<std::uint64_t> loads = 0, runner_deaths = 0;
  Histogram first_token;   // from the question's arrival, a load included
  Histogram inter_token;   // from token to token
  Histogram output_token;  // mean of an answer, its first token left out
  Histogram whole;         // from arrival to the last token
};

class Metrics {
 public:
  // Made when it is first asked for; lives as long as this.
  ModelMetrics& model(const std::string& name);

  // All of it in Prometheus' text format.
  std::string text() const;

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::unique_ptr<ModelMetrics>> models_ GLM_GUARDED_BY(mutex_);
};

// The times of one answer. Thread safety: none.
class AnswerMeter {
 public:
  AnswerMeter(ModelMetrics& metrics, Clock::Steady arrived)
      : metrics_(&metrics), arrived_(arrived) {}

  void tokens(std::size_t count, Clock::Steady now);
  // Once; what is not stop or length brings no latencies.
  void finished(Finished how, Clock::Steady now);

 private:
  ModelMetrics* metrics_;
  Clock::Steady arrived_;
  Clock::Steady first_;
  Clock::Steady last_;
  std::uint64_t tokens_ = 0;
};

}  // namespace glm::daemon
