// engine_load FOLDER [--device cuda:0] [--concurrency 1,8,64] [--input 512] [--output 256]
//             [--requests 0] [--kv bf16|fp8] [--pages 0]
//
// The engine without processes and HTTP around it: as many requests at once as asked for, each of
// `input` random tokens and exactly `output` generated ones, a new one as soon as one has ended.
// Prints what `glm bench --serve` prints of a server, and how long the device did nothing between
// steps, by its own clock. `requests` 0 means four for each that runs at once, at least 16.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runner/engine.h"
#include "runner/models/registry.h"

namespace glm {
namespace {

using runner::RequestEvent;
using Seconds = std::chrono::duration<double>;

struct Arguments {
  std::string folder, device = "cuda:0", kv = "bf16";
  std::vector<std::int64_t> concurrency = {1, 8, 64};
  std::int64_t input = 512;
  std::int64_t output = 256;
  std::int64_t requests = 0;
  std::int64_t pages = 0;
};

std::vector<std::int64_t> numbers(std::string_view text) {
  std::vector<std::int64_t> all;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + comma, value);
    all.push_back(value);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return all;
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (!word.starts_with("--")) {
      arguments.folder = word;
      continue;
    }
    const std::string_view value = i + 1 < count ? words[++i] : "";
    const std::vector<std::int64_t> list = numbers(value);
    const std::int64_t number = list.empty() ? 0 : list.front();
    if (word == "--device") arguments.device = value;
    if (word == "--kv") arguments.kv = value;
    if (word == "--concurrency") arguments.concurrency = list;
    if (word == "--input") arguments.input = number;
    if (word == "--output") arguments.output = number;
    if (word == "--requests") arguments.requests = number;
    if (word == "--pages") arguments.pages = number;
  }
  return arguments;
}

// Writes down when the device was at each step.
class TimedModel final : public runner::Model {
 public:
  explicit TimedModel(runner::Model& model) : model_(model) {}
  const runner::ModelFacts& facts() const override { return model_.facts(); }
  std::uint64_t weight_bytes() const override { return model_.weight_bytes(); }
  runner::BatchLimits batch_limits() const override { return model_.batch_limits(); }
  std::uint64_t page_bytes() const override { return model_.page_bytes(); }
  std::uint64_t memory_free_bytes() const override { return model_.memory_free_bytes(); }
  Result<std::unique_ptr<runner::KvPool>> make_pool(std::int64_t pages) override {
    return model_.make_pool(pages);
  }
  Status forward(std::span<const runner::SequenceStep> batch, std::span<float> logits) override {
    return model_.forward(batch, logits);
  }
  Status submit(std::span<const runner::SequenceStep> batch) override {
    sequences_.push_back(batch.size());
    return model_.submit(batch);
  }
  Result<std::span<const runner::Sampled>> collect() override {
    auto sampled = model_.collect();
    times.push_back(model_.collected_times());
    return sampled;
  }

  // Between steps of at least `sequences`, in microseconds, sorted.
  std::vector<double> idle_us(std::size_t sequences) const {
    std::vector<double> all;
    for (std::size_t i = 1; i < times.size(); ++i) {
      if (sequences_[i - 1] < sequences || sequences_[i] < sequences) continue;
      all.push_back(static_cast<double>(times[i].began_ns - times[i - 1].ended_ns) * 1e-3);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  std::vector<runner::StepTimes> times;

 private:
  runner::Model& model_;
  std::vector<std::size_t> sequences_;
};

double at(const std::vector<double>& sorted, double part) {
  if (sorted.empty()) return 0;
  const double index = part * static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(index + 0.5)];
}

class Load {
 public:
  Load(runner::Engine& engine, const Arguments& arguments, std::int64_t vocab)
      : engine_(engine), arguments_(arguments), vocab_(vocab) {}

  Status run(std::int64_t concurrency, std::int64_t requests) {
    const auto begun = std::chrono::steady_clock::now();
    std::int64_t asked = 0;
    for (; asked < std::min(concurrency, requests); ++asked) ask();
    while (!engine_.idle()) {
      for (const RequestEvent& event : engine_.step()) {
        GLM_TRY(take(event));
        if (event.finish != runner::FinishReason::none && asked < requests) {
          ask();
          ++asked;
        }
      }
      if (engine_.device_failed()) return make_error(Errc::device, "{}", engine_.device_failure());
    }
    seconds_ = Seconds(std::chrono::steady_clock::now() - begun).count();
    return Ok{};
  }

  void print(std::int64_t concurrency, const TimedModel& model) {
    std::sort(ttft_.begin(), ttft_.end());
    std::sort(tpot_.begin(), tpot_.end());
    const std::vector<double> idle = model.idle_us(static_cast<std::size_t>(concurrency));
    fmt::print(
        "{:4} at once: {:4} requests, {:8.1f} output tok/s, TTFT {:7.1f} / {:7.1f} ms, TPOT "
        "{:6.2f} "
        "/ {:6.2f} ms, idle {:5.1f} / {:6.1f} us between {} steps (median / p99)\n",
        concurrency, tpot_.size(), static_cast<double>(tokens_) / seconds_, at(ttft_, 0.5) * 1e3,
        at(ttft_, 0.99) * 1e3, at(tpot_, 0.5) * 1e3, at(tpot_, 0.99) * 1e3, at(idle, 0.5),
        at(idle, 0.99), idle.size() + 1);
    std::fflush(stdout);
  }

 private:
  struct Asked {
    std::chrono::steady_clock::time_point at, first;
    std::int64_t tokens = 0;
  };

  void ask() {
    runner::GenerateRequest request;
    request.id = ++ids_;
    for (std::int64_t i = 0; i < arguments_.input; ++i) {
      state_ = state_ * 6364136223846793005U + 1442695040888963407U;
      request.prompt.push_back(
          static_cast<std::int32_t>((state_ >> 33U) % static_cast<std::uint64_t>(vocab_)));
    }
    request.tokens_max = arguments_.output;
    asked_[request.id].at = std::chrono::steady_clock::now();
    engine_.submit(std::move(request));
  }

  Status take(const RequestEvent& event) {
    Asked& asked = asked_[event.id];
    const auto now = std::chrono::steady_clock::now();
    if (!event.tokens.empty() && asked.tokens == 0) asked.first = now;
    asked.tokens += static_cast<std::int64_t>(event.tokens.size());
    if (event.finish == runner::FinishReason::none) return Ok{};
    if (event.finish != runner::FinishReason::length || asked.tokens != arguments_.output) {
      return make_error(Errc::internal, "request {} ended after {} tokens: {}", event.id,
                        asked.tokens, event.message);
    }
    tokens_ += asked.tokens;
    ttft_.push_back(Seconds(asked.first - asked.at).count());
    if (asked.tokens > 1) {
      tpot_.push_back(Seconds(now - asked.first).count() / static_cast<double>(asked.tokens - 1));
    }
    asked_.erase(event.id);
    return Ok{};
  }

  runner::Engine& engine_;
  const Arguments& arguments_;
  const std::int64_t vocab_;
  std::map<std::uint64_t, Asked> asked_;
  std::uint64_t ids_ = 0;
  std::uint64_t state_ = 42;
  std::vector<double> ttft_, tpot_;  // seconds
  std::int64_t tokens_ = 0;
  double seconds_ = 0;
};

Status run(const Arguments& arguments) {
  const runner::CheckpointFiles files = GLM_TRY(runner::files_in(arguments.folder));
  runner::LoadOptions options;
  options.device = arguments.device;
  options.kv_format = GLM_TRY(runner::parse_kv_cache_type(arguments.kv));
  const auto model = GLM_TRY(runner::load_model(files, options));
  const bool gpu = arguments.device != "cpu";
  const std::int64_t context = arguments.input + arguments.output;
  const std::int64_t most =
      *std::max_element(arguments.concurrency.begin(), arguments.concurrency.end());
  const std::int64_t pages =
      arguments.pages > 0 ? arguments.pages : (runner::pages_of(context) + 1) * most;
  const auto pool = GLM_TRY(model->make_pool(pages));
  runner::EngineLimits limits = runner::engine_limits(*model, gpu);
  limits.context_max = context;
  for (const std::int64_t concurrency : arguments.concurrency) {
    // Once to warm up: kernels are loaded and steps recorded on first use.
    for (const bool counts : {false, true}) {
      TimedModel timed(*model);
      runner::Engine engine(timed, *pool, limits, system_clock());
      Load load(engine, arguments, model->facts().vocab_size);
      const std::int64_t few = concurrency;
      const std::int64_t many =
          arguments.requests > 0 ? arguments.requests : std::max<std::int64_t>(4 * concurrency, 16);
      GLM_TRY(load.run(concurrency, counts ? many : few));
      if (counts) load.print(concurrency, timed);
    }
  }
  return Ok{};
}

}  // namespace
}  // namespace glm

int main(int count, char** words) {
  const glm::Status status = glm::run(glm::parse(count, words));
  if (status.ok()) return 0;
  fmt::print(stderr, "engine_load: {}\n", status.error().message);
  return 1;
}
