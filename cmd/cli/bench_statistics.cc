#include "cmd/cli/bench_statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace glm::bench {
namespace {

double ms(std::chrono::nanoseconds time) {
  return static_cast<double>(time.count()) / 1e6;
}

// `values` ascend and are not empty.
double percentile(std::span<const double> values, double percent) {
  const double place = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

}  // namespace

Distribution distribution(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  Distribution result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / count);
  result.median = percentile(values, 50);
  result.p99 = percentile(values, 99);
  return result;
}

double LevelResult::requests_per_s() const {
  return duration_s > 0 ? static_cast<double>(completed) / duration_s : 0;
}

double LevelResult::output_tokens_per_s() const {
  return duration_s > 0 ? static_cast<double>(output_tokens) / duration_s : 0;
}

double LevelResult::total_tokens_per_s() const {
  return duration_s > 0 ? static_cast<double>(input_tokens + output_tokens) / duration_s : 0;
}

LevelResult summarize(std::size_t concurrency, const LoadRun& run) {
  LevelResult result;
  result.concurrency = concurrency;
  result.duration_s = std::chrono::duration<double>(run.ended - run.begun).count();
  std::vector<double> ttft, tpot, itl, e2el;
  for (const RequestRecord& record : run.records) {
    if (!record.failure.empty()) {
      if (result.failed++ == 0) result.first_failure = record.failure;
      continue;
    }
    ++result.completed;
    result.counted_by_events += record.counted_by_events ? 1 : 0;
    result.input_tokens += record.prompt_tokens;
    result.output_tokens += record.output_tokens;
    ttft.push_back(ms(record.first - record.begun));
    e2el.push_back(ms(record.last - record.begun));
    for (const std::chrono::nanoseconds gap : record.gaps) itl.push_back(ms(gap));
    if (record.output_tokens > 1) {
      tpot.push_back(ms(record.last - record.first) /
                     static_cast<double>(record.output_tokens - 1));
    }
  }
  result.ttft_ms = distribution(std::move(ttft));
  result.tpot_ms = distribution(std::move(tpot));
  result.itl_ms = distribution(std::move(itl));
  result.e2el_ms = distribution(std::move(e2el));
  return result;
}

}  // namespace glm::bench
