#include "cmd/bench/model_bench.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.h"
#include "base/units.h"
#include "cmd/bench/device.h"
#include "cmd/bench/generation.h"
#include "cmd/bench/row_plan.h"
#include "cmd/bench/row_report.h"
#include "cmd/version.h"
#include "runner/plan/memory_needs.h"
#include "runner/plan/this_machine.h"

namespace glm::bench {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kTokensMax = 1 << 20;
constexpr auto kTellEvery = std::chrono::seconds(2);
constexpr const char* kUsualBatches = "1,2,4,8,16,32,64";
constexpr const char* kUsualBatchesOnCpu = "1,4";  // a row of a large model takes it minutes

// Lists, checked.
Result<RowLists> lists_of(const ModelOptions& options, const char* usual_batches) {
  const std::int64_t sequences_max = runner::kGpuBatch.sequences_max;
  const std::string batch = options.batch.empty() ? usual_batches : options.batch;
  RowLists lists;
  lists.prompts = GLM_TRY(number_list("--pp", options.prompt, kTokensMax));
  lists.generates = GLM_TRY(number_list("--tg", options.generate, kTokensMax));
  lists.batches = GLM_TRY(number_list("--batch", batch, sequences_max));
  lists.context = options.context;
  return lists;
}

class Measurement {
 public:
  Measurement(const Subject& subject, const ModelOptions& options)
      : subject_(subject), options_(options) {}

  Status run(std::vector<runner::Alternative> smaller, Output& output) {
    device_ = GLM_TRY(find_device(options_.device));
    rows_ = rows_of(GLM_TRY(lists_of(options_, device_.gpu ? kUsualBatches : kUsualBatchesOnCpu)));
    load_.device = device_.name;
    load_.threads = static_cast<int>(options_.threads);
    load_.kv_format = GLM_TRY(runner::parse_kv_cache_type(options_.kv_cache_type));
    GLM_TRY(check_context());
    GLM_TRY(look_at_device(std::move(smaller)));
    const auto begun = std::chrono::steady_clock::now();
    load_.progress = [&](const runner::LoadProgress& loaded) { tell_of_load(loaded, output); };
    const auto model = GLM_TRY(subject_.load(load_));
    const std::chrono::duration<double> load_time = std::chrono::steady_clock::now() - begun;
    GLM_TRY(output.text(heading(*model, load_time.count())));
    const auto pool = GLM_TRY(model->make_pool(pages_));
    Generation generation(*model, *pool,
                          {.temperature = static_cast<float>(options_.temperature),
                           .seed = options_.seed,
                           .warm_whole = device_.gpu});
    for (const RowShape& shape : rows_) {
      if (!device_.gpu) output.progress(fmt::format("measuring {}\n", name_of(shape)));
      const MeasuredRow row = GLM_TRY(measure(generation, *model, shape).with(name_of(shape)));
      GLM_TRY(output.row(row_line(row), described(row)));
    }
    return Ok{};
  }

 private:
  // Weights of a large model take a CPU minutes.
  void tell_of_load(const runner::LoadProgress& loaded, const Output& output) {
    const auto now = std::chrono::steady_clock::now();
    if (now < told_ + kTellEvery) return;
    told_ = now;
    output.progress(fmt::format("{} of {} of weights are on {}\n",
                                format_bytes(loaded.completed_bytes),
                                format_bytes(loaded.total_bytes), device_.name));
  }

  Status check_context() const {
    std::int64_t longest = 0;
    for (const RowShape& row : rows_) longest = std::max(longest, row.tokens_each());
    const std::int64_t most = subject_.facts().context_max;
    if (longest <= most) return Ok{};
    return make_error(Errc::invalid_argument,
                      "--ctx, --pp and --tg are {} tokens together, {} has a context of {}",
                      longest, subject_.name(), most);
  }

  // Its read ceiling, and which rows it has room for, before gigabytes come.
  Status look_at_device(std::vector<runner::Alternative> smaller) {
    const auto ops = GLM_TRY(open(device_, load_.threads));
    load_.overrides.alternatives = std::move(smaller);
    for (const RowShape& row : rows_) {
      load_.overrides.context_max = std::max(load_.overrides.context_max, row.tokens_each() + 1);
    }
    runner::ModelNeeds needs =
        needs_of(subject_.facts(), device_.gpu ? runner::Backend::cuda : runner::Backend::cpu,
                 load_.kv_format);
    needs.model = subject_.name();
    Result<runner::RunPlan> planned =
        plan(needs, runner::hardware_of(*ops, device_.name), load_.overrides);
    if (!planned.ok()) {
      Error failure = std::move(planned).error();
      if (!subject_.layout().empty())
        failure.message += "; or measure its first layers (--layers N)";
      return failure;
    }
    GLM_TRY(keep_what_fits(planned->pages));
    read_bytes_per_s_ = GLM_TRY(measure_read_ceiling(*ops, device_));
    return Ok{};
  }

  // Of the usual rows those that have no room are left out; what was asked for is refused.
  Status keep_what_fits(std::int64_t pages) {
    const auto too_large = [&](const RowShape& row) { return pages_needed(row) > pages; };
    const auto first = std::find_if(rows_.begin(), rows_.end(), too_large);
    if (first != rows_.end() &&
        (!options_.batch.empty() || rows_.front().sequences != 1 || too_large(rows_.front()))) {
      const std::int64_t each = runner::pages_of(first->tokens_each() + 1);
      return make_error(Errc::exhausted,
                        "{} sequences of {} tokens want {} pages of {} tokens, {} has room for {} "
                        "beside {}; --batch {} fits",
                        first->sequences, first->tokens_each(), pages_needed(*first),
                        runner::kPageTokens, device_.name, pages, subject_.name(), pages / each);
    }
    const auto before = rows_.size();
    rows_.erase(std::remove_if(rows_.begin(), rows_.end(), too_large), rows_.end());
    if (rows_.size() < before) {
      note_ = fmt::format("{} rows are left out: {} has room for {} pages of {} tokens\n",
                          before - rows_.size(), device_.name, pages, runner::kPageTokens);
    }
    for (const RowShape& row : rows_) pages_ = std::max(pages_, pages_needed(row));
    return Ok{};
  }

  Result<MeasuredRow> measure(Generation& generation, const runner::Model& model,
                              const RowShape& shape) const {
    MeasuredRow row{.shape = shape,
                    .times = GLM_TRY(generation.run(shape)),
                    .step = {},
                    .read_bytes_per_s = read_bytes_per_s_};
    const double written = static_cast<double>(shape.generate + 1) / 2;
    row.step = bytes_of_step(
        subject_.facts(), {.sequences = shape.sequences,
                           .context = static_cast<double>(shape.context + shape.prompt) + written,
                           .token_bytes = model.page_bytes() / runner::kPageTokens});
    return row;
  }

  static std::string name_of(const RowShape& shape) {
    return fmt::format("{} sequence{} of {} tokens", shape.sequences,
                       shape.sequences == 1 ? "" : "s", shape.tokens_each());
  }

  std::string heading(const runner::Model& model, double load_s) const {
    const runner::ModelFacts& facts = subject_.facts();
    const std::string what = subject_.layout().empty()
                                 ? subject_.name()
                                 : fmt::format("{}, random weights in the layout of {}",
                                               subject_.name(), subject_.layout());
    return fmt::format(
        "glm {} on {}: reads {:.0f} GB/s\n"
        "{}: {}, {} layer{}, {} of weights, ready in {:.1f} s; cache {}, {} tokens before each "
        "prompt, temperature {}\n"
        "% of read: the bytes of a step, weights of as many experts as even choice needs and the "
        "cache, over what the device can read in its time\n{}\n{}",
        kVersion, device_.description, read_bytes_per_s_ * 1e-9, what, facts.format_summary,
        facts.config.layers, facts.config.layers == 1 ? "" : "s",
        format_bytes(model.weight_bytes()), load_s, cache_type(), options_.context,
        options_.temperature, note_, row_heading());
  }

  // A CPU keeps plain pages in what it computes in.
  std::string_view cache_type() const {
    if (load_.kv_format != kernels::KvFormat::plain) return options_.kv_cache_type;
    return device_.gpu ? "bf16" : "f32";
  }

  Json described(const MeasuredRow& row) const {
    const runner::ModelFacts& facts = subject_.facts();
    Json json = {{"date", rfc3339(system_clock().wall())},
                 {"version", kVersion},
                 {"device", device_.product},
                 {"model", subject_.name()},
                 {"layout", subject_.layout()},
                 {"format", facts.format_summary},
                 {"layers", facts.config.layers},
                 {"kv_cache_type", cache_type()},
                 {"temperature", options_.temperature},
                 {"seed", options_.seed}};
    const Json measured = row_json(row);
    for (const auto& [name, value] : measured.items()) json[name] = value;
    return json;
  }

  const Subject& subject_;
  const ModelOptions& options_;
  Device device_;
  runner::LoadOptions load_;
  std::vector<RowShape> rows_;
  std::int64_t pages_ = 0;  // of the largest row
  std::chrono::steady_clock::time_point told_ = std::chrono::steady_clock::now();
  std::string note_;
  double read_bytes_per_s_ = 0;
};

}  // namespace

Status check(const ModelOptions& options) {
  GLM_TRY(lists_of(options, kUsualBatches));
  GLM_TRY(runner::parse_kv_cache_type(options.kv_cache_type).with("--kv-cache-type"));
  constexpr std::int64_t kThreadsMax = 4096;
  if (options.context < 0 || options.context > kTokensMax) {
    return make_error(Errc::invalid_argument, "--ctx wants 0 to {}, got {}", kTokensMax,
                      options.context);
  }
  if (options.threads < 0 || options.threads > kThreadsMax) {
    return make_error(Errc::invalid_argument, "--threads wants 0 to {}, got {}", kThreadsMax,
                      options.threads);
  }
  if (options.temperature >= 0 && options.temperature <= 2) return Ok{};
  return make_error(Errc::invalid_argument, "--temperature wants 0 to 2, got {}",
                    options.temperature);
}

Status measure(const Subject& subject, const ModelOptions& options,
               std::vector<runner::Alternative> smaller, Output& output) {
  return Measurement(subject, options).run(std::move(smaller), output);
}

}  // namespace glm::bench
