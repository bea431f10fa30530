#include "cmd/cli/bench_serve.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/descriptor_limit.h"
#include "cmd/bench/output.h"
#include "cmd/cli/bench_load.h"
#include "cmd/cli/bench_options.h"
#include "cmd/cli/bench_report.h"
#include "cmd/cli/bench_statistics.h"
#include "cmd/cli/bench_vocabulary.h"
#include "cmd/cli/bench_workload.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/interrupt.h"
#include "cmd/cli/terminal.h"
#include "cmd/outcome.h"

namespace glm {
namespace {

using bench::LevelResult;
using bench::LoadRun;
using Prompts = bench::Workload::Prompts;

constexpr std::int64_t kVocabSizeGuess = 32'000;  // few models have fewer ids

// Everything between the first request and the last.
class Measurement {
 public:
  Measurement(bench::Plan plan, std::uint64_t seed)
      : plan_(std::move(plan)), source_(plan_.workload, seed), interrupt_([] {}) {}

  Result<std::vector<LevelResult>> run() {
    GLM_TRY(first_request());
    std::vector<LevelResult> results;
    for (const bench::Level& level : plan_.levels) {
      say(fmt::format("concurrency {}: {} requests, and {} before them that do not count …\n",
                      level.concurrency, level.requests, level.warmups));
      GLM_TRY(load(level.concurrency, level.warmups));
      const LoadRun run = GLM_TRY(load(level.concurrency, level.requests));
      results.push_back(bench::summarize(level.concurrency, run));
      tell(results.back());
    }
    return results;
  }

 private:
  Result<LoadRun> load(std::size_t concurrency, std::size_t requests) {
    const std::vector<std::string> bodies = source_.next(requests);
    LoadRun run = GLM_TRY(bench::run_load(plan_.target, bodies, concurrency, system_clock(),
                                          [this] { return interrupt_.interrupted(); }));
    for (bench::RequestRecord& record : run.records) {
      if (record.counted_by_events) record.prompt_tokens = plan_.workload.input_len;
    }
    return run;
  }

  // Alone, so that a model is loaded and a mistake is told once. With words it also tells how many
  // tokens they are.
  Status first_request() {
    say(fmt::format("a first request to {}, so that {} is loaded …\n", plan_.target.address.str(),
                    plan_.workload.model));
    const LoadRun run = GLM_TRY(load(1, 1));
    const bench::RequestRecord& record = run.records.front();
    if (!record.failure.empty()) {
      const bool refused = record.http_status >= 400;
      return make_error(refused ? errc_from_http_status(record.http_status) : Errc::unavailable,
                        "the first request to {} failed: {}", plan_.target.address.str(),
                        record.failure);
    }
    const std::int64_t asked = plan_.workload.input_len;
    if (plan_.workload.prompts == Prompts::words && record.prompt_tokens > 0) {
      source_.set_input_len(std::max<std::int64_t>(1, asked * asked / record.prompt_tokens));
    }
    return Ok{};
  }

  void tell(const LevelResult& result) const {
    say(fmt::format("concurrency {}: {} requests in {:.1f} s, {:.0f} tokens/s\n",
                    result.concurrency, result.completed + result.failed, result.duration_s,
                    result.output_tokens_per_s()));
    if (result.counted_by_events > 0) {
      say("  the server counts no tokens: each of its events is taken for one\n");
    }
    const std::int64_t asked = result.completed * plan_.workload.output_len;
    if (result.output_tokens != asked) {
      say(fmt::format("  {} tokens came where {} were asked for\n", result.output_tokens, asked));
    }
  }

  const bench::Plan plan_;
  bench::RequestSource source_;
  InterruptScope interrupt_;
};

Json described(const bench::Options& options, const LevelResult& level) {
  Json json = {{"date", rfc3339(system_clock().wall())},
               {"model_id", options.model},
               {"input_len", options.input_len},
               {"output_len", options.output_len},
               {"seed", options.seed}};
  const Json measured = bench::report_json(level);
  for (const auto& [name, value] : measured.items()) json[name] = value;
  return json;
}

Status write_results(const bench::Options& options, const std::vector<LevelResult>& levels,
                     bench::Output& output) {
  Status written = Ok{};
  for (const LevelResult& level : levels) {
    if (written.ok()) written = output.row("", described(options, level));
  }
  GLM_TRY(output.text(bench::report_table(levels)));  // not lost with a file that takes no more
  return written;
}

Status find_vocabulary(bench::Plan& plan) {
  if (plan.workload.prompts != Prompts::ids || plan.workload.vocab_size != 0) return Ok{};
  const auto found = GLM_TRY(bench::find_vocab_size(plan.target, plan.workload.model));
  if (!found) {
    say(
        fmt::format("the server does not say how many token ids its model has: the first {} are "
                    "used; --vocab-size says it\n",
                    kVocabSizeGuess));
  }
  plan.workload.vocab_size = found.value_or(kVocabSizeGuess);
  return Ok{};
}

}  // namespace

Status bench_serve(const bench::Options& options) {
  bench::Plan plan = GLM_TRY(bench::plan(options));
  bench::Output output = GLM_TRY(bench::Output::open(options.json_file, print, say));
  raise_descriptor_limit();
  GLM_TRY(find_vocabulary(plan));
  const auto results = GLM_TRY(Measurement(std::move(plan), options.seed).run());
  GLM_TRY(write_results(options, results, output));
  for (const LevelResult& level : results) {
    if (level.failed == 0) continue;
    return make_error(
        Errc::unavailable, "at concurrency {}, {} of {} requests failed; the first: {}",
        level.concurrency, level.failed, level.completed + level.failed, level.first_failure);
  }
  return Ok{};
}

}  // namespace glm
